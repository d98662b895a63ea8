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
    SessionKey::Gcm(AesGcm::new(&std::array::from_fn(|i| i as u8), *b"Quid pro quo"))
}

/// Of RFC 3711, B.3.
fn rfc_3711() -> MasterKey {
    MasterKey {
        key: hex("E1F97A0D3E018BE0D64FA32C06DE4139").try_into().unwrap(),
        salt: hex("0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap(),
    }
}

/// RFC 3711, B.3, with the start of the authentication key, which takes more than one block.
#[test]
fn session_keys_are_derived_as_in_the_rfc() {
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
        derive(&rfc_3711(), label, &mut out);
        assert_eq!(out, expected, "label {label}");
    }
}

/// RFC 7714, 16.1.1.
#[test]
fn a_packet_is_sealed_as_in_the_rfc() {
    let mut packet = hex("8040f17b 8041f8d3 5501a0b2");
    packet.extend(b"Gallia est omnis divisa in partes tres");
    packet.extend([0; gcm::TAG]);
    RtpSealer(quid_pro_quo()).seal(&mut packet, 12, 0x5501_a0b2, ExtendedSequence(0xf17b));
    let expected = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
                    0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    assert_eq!(packet, hex(expected));
}

/// RFC 7714, 17.1.
#[test]
fn an_rtcp_packet_is_sealed_and_opened_as_in_the_rfc() {
    let sealed = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
                  730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    let plaintext = "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                     deadbeef deadbeef deadbeef deadbeef deadbeef";
    let sealed = hex(sealed);
    let packet = [&sealed[..8], &hex(plaintext)].concat();
    let mut again = packet.clone();
    RtcpSealer(quid_pro_quo()).seal(&mut again, 0x5d4);
    assert_eq!(again, sealed);
    assert_eq!(RtcpOpener(quid_pro_quo()).open(&sealed), Some(OpenedRtcp { index: 0x5d4, packet }));
}

/// RFC 3711, B.2: the first blocks of the keystream and its last.
#[test]
fn the_keystream_of_counter_mode_is_the_rfcs() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap();
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let mut keystream = vec![0; 1_044_512];
    AesCm::new(&key, &[0; 20], salt).encrypt(&mut keystream, 0, 0);
    let first =
        "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
    let last =
        "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44";
    assert_eq!(keystream[..48], hex(first));
    assert_eq!(keystream[1_044_512 - 48..], hex(last));
}

/// The keys of RFC 3711, B.3 and a packet as libsrtp's own tests have it.
#[test]
fn a_packet_is_sealed_with_counter_mode_and_hmac() {
    let mut packet = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    packet.extend([0; cm::TAG]);
    let sealer = RtpSealer::new(Profile::Aes128CmHmacSha1_80, &rfc_3711());
    sealer.seal(&mut packet, 12, 0xcafe_babe, ExtendedSequence(0x1234));
    let expected = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb";
    assert_eq!(packet, hex(expected));
}

fn context(profile: Profile, master: &MasterKey) -> Context {
    let provider = rtc::crypto::default_provider().unwrap();
    let profile = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let salt = &master.salt[..profile.salt_len()];
    Context::new(&master.key, salt, profile, None, None, provider.crypto()).unwrap()
}

fn profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(&Profile::ALL)
}

/// That of AEAD_AES_128_GCM as it is filled up.
fn master(profile: Profile) -> impl Strategy<Value = MasterKey> {
    any::<([u8; 16], [u8; 14])>().prop_map(move |(key, mut salt)| {
        if profile == Profile::AeadAes128Gcm {
            salt[12..].fill(0);
        }
        MasterKey { key, salt }
    })
}

fn profile_and_master() -> impl Strategy<Value = (Profile, MasterKey)> {
    profile().prop_flat_map(|profile| (Just(profile), master(profile)))
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
        (profile, master) in profile_and_master(),
        first in any::<u16>(),
        steps in prop::collection::vec((1u64..0x7fff, prop::collection::vec(any::<u8>(), 0..50)), 1..30),
    ) {
        let sealer = RtpSealer::new(profile, &master);
        let (mut theirs, mut receiver) = (context(profile, &master), context(profile, &master));
        let mut sequence = ExtendedSequence::initial(first);
        let mut out = vec![7];
        for (step, payload) in steps {
            let header = header(sequence);
            let start = out.len();
            sealer.write(&mut out, &header, &payload);
            let plain = unsealed(&header, &payload);
            prop_assert_eq!(&out[start..], &theirs.encrypt_rtp(&plain).unwrap()[..]);
            prop_assert_eq!(out.len() - start, plain.len() + profile.tag_len());
            prop_assert_eq!(&receiver.decrypt_rtp(&out[start..]).unwrap()[..], &plain[..]);
            sequence = sequence.plus(step);
        }
        prop_assert_eq!(out[0], 7);
    }

    #[test]
    fn a_retransmission_has_the_original_number_in_front_of_its_payload(
        (profile, master) in profile_and_master(),
        sequence in 0u64..0x8000,
        original in 0u64..1 << 48,
        payload in prop::collection::vec(any::<u8>(), 0..1300),
    ) {
        let (header, original) = (header(ExtendedSequence(sequence)), ExtendedSequence(original));
        let mut out = Vec::new();
        RtpSealer::new(profile, &master).write_again(&mut out, &header, original, &payload);
        let opened = context(profile, &master).decrypt_rtp(&out).unwrap();
        let packet = Packet::unmarshal(&mut opened.freeze()).unwrap();
        prop_assert_eq!(packet.header.sequence_number, header.sequence.number());
        prop_assert_eq!(&packet.payload[..2], &original.number().to_be_bytes()[..]);
        prop_assert_eq!(&packet.payload[2..], &payload[..]);
    }

    /// Of what the crate seals, the opener takes exactly what its own key sealed under its own profile, and nothing that was
    /// changed since; and the sealer makes the same.
    #[test]
    fn rtcp_is_sealed_as_the_crate_does_and_opened_by_its_key_alone(
        (profile, master, other) in
            profile().prop_flat_map(|profile| (Just(profile), master(profile), master(profile))),
        ssrc in any::<u32>(),
        words in prop::collection::vec(any::<u32>(), 0..20),
        flipped in any::<prop::sample::Index>(),
        index in any::<u32>(),
    ) {
        let mut plain = vec![0x80, 200, 0, words.len() as u8 + 1];
        plain.extend(ssrc.to_be_bytes());
        plain.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        let mut theirs = context(profile, &master);
        let sealer = RtcpSealer::new(profile, &master);
        let (opener, strange) = (RtcpOpener::new(profile, &master), RtcpOpener::new(profile, &other));
        let unlike: Vec<_> = Profile::ALL.into_iter().filter(|other| *other != profile).collect();
        for _ in 0..3 {
            let mut sealed = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            let opened = opener.open(&sealed).unwrap();
            prop_assert_eq!(&opened.packet, &plain);
            let mut ours = plain.clone();
            sealer.seal(&mut ours, opened.index);
            prop_assert_eq!(&ours, &sealed);
            prop_assert_eq!(strange.open(&sealed).is_some(), master == other);
            prop_assert!(unlike.iter().all(|&unlike| RtcpOpener::new(unlike, &master).open(&sealed).is_none()));
            prop_assert!(opener.open(&sealed[..sealed.len() - 1]).is_none());
            let bit = flipped.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(opener.open(&sealed).is_none());
        }
        let mut sealed = plain.clone();
        sealer.seal(&mut sealed, index);
        prop_assert_eq!(opener.open(&sealed), Some(OpenedRtcp { index: index & !ENCRYPTED, packet: plain.clone() }));
        prop_assert_eq!(&context(profile, &master).decrypt_rtcp(&sealed).unwrap()[..], &plain[..]);
    }

    #[test]
    fn any_datagram_is_taken(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(RtcpOpener(quid_pro_quo()).open(&datagram).is_none());
        prop_assert!(RtcpOpener::new(Profile::Aes128CmHmacSha1_80, &rfc_3711()).open(&datagram).is_none());
    }
}

#[test]
fn nothing_secret_is_printed() {
    let master = MasterKey { key: *b"0123456789abcdef", salt: *b"ghijklmnopqrst" };
    for profile in Profile::ALL {
        let (rtp, rtcp) = (RtpSealer::new(profile, &master), RtcpSealer::new(profile, &master));
        let printed = format!("{master:?} {rtp:?} {rtcp:?} {:?}", RtcpOpener::new(profile, &master));
        assert_eq!(printed, "MasterKey(…) RtpSealer(…) RtcpSealer(…) RtcpOpener(…)");
    }
}
