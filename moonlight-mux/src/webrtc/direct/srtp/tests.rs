use proptest::prelude::*;
use rtc::rtp::Packet;
use rtc::shared::marshal::Unmarshal;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::*;

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Key and salt of RFC 7714, 16 and 17: of a session, not a master key.
fn quid_pro_quo() -> SessionKey {
    SessionKey::new(&std::array::from_fn(|i| i as u8), *b"Quid pro quo")
}

/// RFC 3711, B.3, with the start of the authentication key, which takes more than one block.
#[test]
fn session_keys_are_derived_as_in_the_rfc() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139").try_into().unwrap();
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap();
    for (label, expected) in [
        (0, "C61E7A93744F39EE10734AFE3FF7A087"),
        (2, "30CBBC08863D8C85D49DB34A9AE1"),
        (
            1,
            "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
             E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2",
        ),
    ] {
        let expected = hex(expected);
        let mut out = vec![0xff; expected.len()];
        derive(&key, &salt, label, &mut out);
        assert_eq!(out, expected, "label {label}");
    }
}

/// RFC 7714, 16.1.1.
#[test]
fn a_packet_is_sealed_as_in_the_rfc() {
    let mut packet = hex("8040f17b 8041f8d3 5501a0b2");
    packet.extend(b"Gallia est omnis divisa in partes tres");
    packet.extend([0; TAG]);
    RtpSealer(quid_pro_quo()).seal(&mut packet, 12, 0x5501_a0b2, ExtendedSequence(0xf17b));
    let expected = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                    0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    assert_eq!(packet, hex(expected));
}

/// RFC 7714, 17.1.
#[test]
fn an_rtcp_packet_is_opened_as_in_the_rfc() {
    let sealed = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
                  730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    let plaintext = "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                     deadbeef deadbeef deadbeef deadbeef deadbeef";
    assert_eq!(RtcpOpener(quid_pro_quo()).open(&hex(sealed)), Some(hex(plaintext)));
}

fn context(master: &MasterKey) -> Context {
    let provider = rtc::crypto::default_provider().unwrap();
    let profile = ProtectionProfile::AeadAes128Gcm;
    Context::new(&master.key, &master.salt, profile, None, None, provider.crypto()).unwrap()
}

fn master() -> impl Strategy<Value = MasterKey> {
    any::<([u8; 16], [u8; 12])>().prop_map(|(key, salt)| MasterKey { key, salt })
}

fn header(sequence: ExtendedSequence) -> Header {
    Header {
        marker: sequence.0.is_multiple_of(3),
        payload_type: 102,
        sequence,
        timestamp: 0xfedc_ba98,
        ssrc: 0x0102_0304,
        playout_delay: sequence.0.is_multiple_of(5).then_some(6),
    }
}

fn unsealed(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    header.write(&mut packet);
    packet.extend(payload);
    packet
}

proptest! {
    /// Whatever is left out in between: the crate finds the rollover counter from the numbers alone.
    #[test]
    fn the_crate_seals_and_opens_the_same_over_any_number_of_wraps(
        master in master(),
        first in any::<u16>(),
        steps in prop::collection::vec((1u64..0x7fff, prop::collection::vec(any::<u8>(), 0..50)), 1..30),
    ) {
        let (sealer, mut theirs, mut receiver) = (RtpSealer::new(&master), context(&master), context(&master));
        let mut sequence = ExtendedSequence::initial(first);
        let mut out = vec![7];
        for (step, payload) in steps {
            let header = header(sequence);
            let start = out.len();
            sealer.write(&mut out, &header, &payload);
            let plain = unsealed(&header, &payload);
            prop_assert_eq!(&out[start..], &theirs.encrypt_rtp(&plain).unwrap()[..]);
            prop_assert_eq!(&receiver.decrypt_rtp(&out[start..]).unwrap()[..], &plain[..]);
            sequence = sequence.plus(step);
        }
        prop_assert_eq!(out[0], 7);
    }

    #[test]
    fn a_retransmission_has_the_original_number_in_front_of_its_payload(
        master in master(),
        sequence in 0u64..0x8000,
        original in 0u64..1 << 48,
        payload in prop::collection::vec(any::<u8>(), 0..1300),
    ) {
        let (header, original) = (header(ExtendedSequence(sequence)), ExtendedSequence(original));
        let mut out = Vec::new();
        RtpSealer::new(&master).write_again(&mut out, &header, original, &payload);
        let opened = context(&master).decrypt_rtp(&out).unwrap();
        let packet = Packet::unmarshal(&mut opened.freeze()).unwrap();
        prop_assert_eq!(packet.header.sequence_number, header.sequence.number());
        prop_assert_eq!(&packet.payload[..2], &original.number().to_be_bytes()[..]);
        prop_assert_eq!(&packet.payload[2..], &payload[..]);
    }

    /// Of what the crate seals, the opener takes exactly what its own key sealed, and nothing that was changed since.
    #[test]
    fn the_opener_knows_the_crates_packets_by_their_key(
        (master, other) in (master(), master()),
        ssrc in any::<u32>(),
        words in prop::collection::vec(any::<u32>(), 0..20),
        flipped in any::<prop::sample::Index>(),
    ) {
        let mut plain = vec![0x80, 200, 0, words.len() as u8 + 1];
        plain.extend(ssrc.to_be_bytes());
        plain.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        let mut theirs = context(&master);
        let (opener, strange) = (RtcpOpener::new(&master), RtcpOpener::new(&other));
        for _ in 0..3 {
            let mut sealed = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            prop_assert_eq!(opener.open(&sealed), Some(plain[8..].to_vec()));
            prop_assert!(opener.opens(&sealed));
            prop_assert_eq!(strange.opens(&sealed), master == other);
            prop_assert!(!opener.opens(&sealed[..sealed.len() - 1]));
            let bit = flipped.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!opener.opens(&sealed));
        }
    }

    #[test]
    fn any_datagram_is_taken(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!RtcpOpener(quid_pro_quo()).opens(&datagram));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let master = MasterKey { key: *b"0123456789abcdef", salt: *b"ghijklmnopqr" };
    let printed = format!("{:?} {:?} {:?}", master, RtpSealer::new(&master), RtcpOpener::new(&master));
    assert_eq!(printed, "MasterKey(…) RtpSealer(…) RtcpOpener(…)");
}
