//! What wakes a sleeping machine: six bytes 0xff, then its hardware address sixteen times.
//!
//! Source: protocol document, session 3.

use std::fmt;
use std::str::FromStr;

/// A network card's address (MAC). As text six pairs of hexadecimal digits with `:` or `-` between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// Text that is no [`MacAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hardware address is six pairs of hexadecimal digits, as in 02:00:00:00:00:01")]
pub struct NotAMacAddress;

impl MacAddress {
    /// What hosts say to whom they do not want to tell it (session 6).
    pub(crate) const UNTOLD: Self = Self([0; 6]);

    /// 102 bytes, for any UDP port.
    pub(crate) fn magic_packet(self) -> Vec<u8> {
        [[0xff; 6].to_vec(), self.0.repeat(16)].concat()
    }
}

impl FromStr for MacAddress {
    type Err = NotAMacAddress;

    fn from_str(text: &str) -> Result<Self, NotAMacAddress> {
        let mut bytes = [0; 6];
        let mut pairs = text.split([':', '-']);
        for byte in &mut bytes {
            *byte = pairs.next().and_then(super::hex::decode_array::<1>).ok_or(NotAMacAddress)?[0];
        }
        if pairs.next().is_none() { Ok(Self(bytes)) } else { Err(NotAMacAddress) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_magic_packet_is_laid_out_as_the_document_says() {
        let packet = "0a:1B-2c:3D:4e:5F".parse::<MacAddress>().unwrap().magic_packet();
        let address = [0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f];
        assert_eq!(packet.len(), 102);
        assert_eq!(packet[..6], [0xff; 6]);
        assert!(packet[6..].chunks(6).all(|chunk| chunk == address));
    }

    #[test]
    fn what_is_no_hardware_address_is_refused() {
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "0x:00:00:00:00:01", "020000000001"]
        {
            assert_eq!(text.parse::<MacAddress>(), Err(NotAMacAddress), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_reads_back_as_it_was_written(bytes: [u8; 6]) {
            let address = MacAddress(bytes);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
