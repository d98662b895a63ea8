//! Reed-Solomon erasure coding as GameStream uses it.
//!
//! The field is GF(2^8) modulo x^8+x^4+x^3+x^2+1 (0x11D). Video uses a Cauchy matrix, audio eight fixed
//! coefficients. Published crates use other matrices and are not compatible.
//! Source: protocol document, streams 5; vectors of 10.1 and 10.2.

/// A systematic code: `data` shards sent as they are, and `parity` shards computed from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    data: usize,
    parity: usize,
    matrix: Matrix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matrix {
    Cauchy,
    Audio,
}

/// Why missing shards cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The number of shards is not that of the code.
    #[error("{got} shards where the code has {need}")]
    ShardCount {
        /// What the code has.
        need: usize,
        /// What was given.
        got: usize,
    },
    /// Fewer shards are present than there are data shards.
    #[error("too few shards to restore the missing ones")]
    TooFew,
    /// Shards of different lengths.
    #[error("the shards' lengths differ")]
    Lengths,
}

impl Code {
    /// Audio's code: four data, two parity shards (streams 5.3).
    pub(crate) const AUDIO: Self = Self { data: 4, parity: 2, matrix: Matrix::Audio };

    /// Video's code (streams 5.2). `None` where the field has no room for it: 1 to 254 data shards, 255 in all.
    pub(crate) fn video(data: usize, parity: usize) -> Option<Self> {
        let fits = data > 0 && data.checked_add(parity)? <= 255;
        fits.then_some(Self { data, parity, matrix: Matrix::Cauchy })
    }

    /// The parity shards of `data`, all of one length.
    ///
    /// # Errors
    /// When the number of shards is not that of the code, or their lengths differ.
    pub(crate) fn encode(&self, data: &[impl AsRef<[u8]>]) -> Result<Vec<Vec<u8>>, Error> {
        if data.len() != self.data {
            return Err(Error::ShardCount { need: self.data, got: data.len() });
        }
        let len = data[0].as_ref().len();
        if data.iter().any(|shard| shard.as_ref().len() != len) {
            return Err(Error::Lengths);
        }
        let parity = (0..self.parity).map(|row| {
            let mut sum = vec![0; len];
            for (column, shard) in data.iter().enumerate() {
                add_product(&mut sum, self.coefficient(row, column), shard.as_ref());
            }
            sum
        });
        Ok(parity.collect())
    }

    /// The missing data shards of `shards` (data, then parity), each with its index, in rising order.
    ///
    /// # Errors
    /// When too few are present, their lengths differ, or their number is not that of the code.
    pub(crate) fn restore(
        &self,
        shards: &[Option<impl AsRef<[u8]>>],
    ) -> Result<Vec<(usize, Vec<u8>)>, Error> {
        if shards.len() != self.data + self.parity {
            return Err(Error::ShardCount { need: self.data + self.parity, got: shards.len() });
        }
        let shards: Vec<Option<&[u8]>> = shards.iter().map(|s| s.as_ref().map(AsRef::as_ref)).collect();
        let (data, parity) = shards.split_at(self.data);
        let len = shards.iter().flatten().map(|shard| shard.len()).next().ok_or(Error::TooFew)?;
        if shards.iter().flatten().any(|shard| shard.len() != len) {
            return Err(Error::Lengths);
        }
        let missing: Vec<usize> = (0..self.data).filter(|&i| data[i].is_none()).collect();
        let rows: Vec<(usize, &[u8])> =
            parity.iter().enumerate().filter_map(|(row, shard)| Some((row, (*shard)?))).collect();
        if rows.len() < missing.len() {
            return Err(Error::TooFew);
        }

        // One equation per missing shard: a parity shard less what the present data shards contribute to it.
        let mut equations: Vec<(Vec<u8>, Vec<u8>)> = rows[..missing.len()]
            .iter()
            .map(|&(row, shard)| {
                let mut sum = shard.to_vec();
                for (column, shard) in data.iter().enumerate() {
                    if let Some(shard) = shard {
                        add_product(&mut sum, self.coefficient(row, column), shard);
                    }
                }
                (missing.iter().map(|&column| self.coefficient(row, column)).collect(), sum)
            })
            .collect();
        solve(&mut equations);
        Ok(missing.into_iter().zip(equations.into_iter().map(|(_, shard)| shard)).collect())
    }

    /// By how much data shard `column` counts in parity shard `row`.
    fn coefficient(&self, row: usize, column: usize) -> u8 {
        match self.matrix {
            // Never the inverse of zero: self.parity + column is greater than row.
            Matrix::Cauchy => inverse(((self.parity + column) ^ row) as u8),
            Matrix::Audio => AUDIO[row][column],
        }
    }
}

/// Gauss-Jordan elimination; leaves the unknowns on the right side.
///
/// It needs no pivot search: every square part of the two matrices is invertible (streams 5.4), and then no
/// leading minor, hence no pivot, is zero.
fn solve(equations: &mut [(Vec<u8>, Vec<u8>)]) {
    for pivot in 0..equations.len() {
        let (above, rest) = equations.split_at_mut(pivot);
        let [(left, right), below @ ..] = rest else { return };
        let scale = inverse(left[pivot]);
        multiply(left, scale);
        multiply(right, scale);
        for (other_left, other_right) in above.iter_mut().chain(below) {
            let factor = other_left[pivot];
            add_product(other_left, factor, left);
            add_product(other_right, factor, right);
        }
    }
}

fn multiply(bytes: &mut [u8], factor: u8) {
    let products = &PRODUCTS[usize::from(factor)];
    for byte in bytes {
        *byte = products[usize::from(*byte)];
    }
}

/// `sum += factor · bytes`, byte by byte.
fn add_product(sum: &mut [u8], factor: u8, bytes: &[u8]) {
    if factor == 0 {
        return;
    }
    // A product is the sum of its bits' products. Without a look-up per byte, the compiler does many bytes at once.
    let by_bit: [u8; 8] = std::array::from_fn(|bit| PRODUCTS[usize::from(factor)][1 << bit]);
    for (sum, byte) in sum.iter_mut().zip(bytes) {
        for (bit, product) in by_bit.iter().enumerate() {
            *sum ^= if byte & (1 << bit) != 0 { *product } else { 0 };
        }
    }
}

/// The inverse, and 0 for 0.
fn inverse(a: u8) -> u8 {
    INVERSES[usize::from(a)]
}

const AUDIO: [[u8; 4]; 2] = [[0x77, 0x40, 0x38, 0x0e], [0xc7, 0xa7, 0x0d, 0x6c]];

/// All products: 64 KiB, of which one coefficient touches 256 bytes.
static PRODUCTS: [[u8; 256]; 256] = {
    let mut table = [[0; 256]; 256];
    let mut a = 1;
    while a < 256 {
        let mut b = 1;
        while b < 256 {
            table[a][b] = POWERS[(LOGARITHMS[a] as usize + LOGARITHMS[b] as usize) % 255];
            b += 1;
        }
        a += 1;
    }
    table
};

static INVERSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut a = 1;
    while a < 256 {
        table[a] = POWERS[(255 - LOGARITHMS[a] as usize) % 255];
        a += 1;
    }
    table
};

/// Powers of the generator, 2.
const POWERS: [u8; 255] = {
    let mut table = [1; 255];
    let mut i = 1;
    while i < 255 {
        let double = (table[i - 1] as u16) << 1;
        table[i] = (if double < 256 { double } else { double ^ 0x11d }) as u8;
        i += 1;
    }
    table
};

/// Of which power of 2 a number is; that of 0 has no meaning.
const LOGARITHMS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 255 {
        table[POWERS[i] as usize] = i as u8;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gamestream::wire::tests::hex;

    /// Streams 10.2: data byte t of shard i is (37 i + 11 t + 5) mod 256.
    fn shards(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| (0..16).map(|t| (37 * i + 11 * t + 5) as u8).collect()).collect()
    }

    #[test]
    fn the_field_is_the_documents() {
        let product = |a: usize, b: usize| PRODUCTS[a][b];
        let products = [product(0x02, 0x80), product(0x53, 0xca), product(0xff, 0xff), product(0x8e, 0x02)];
        assert_eq!(products, [0x1d, 0x8f, 0xe2, 0x01]);
        assert_eq!([1, 2, 3, 0x53, 0xff].map(inverse), [0x01, 0x8e, 0xf4, 0x8c, 0xfd]);
        assert_eq!(POWERS[..16].to_vec(), hex("01020408102040801d3a74e8cd871326"));
    }

    #[test]
    fn the_matrices_are_the_documents() {
        let check = |data: usize, rows: &[&str]| {
            let code = Code::video(data, rows.len()).unwrap();
            for (row, text) in rows.iter().enumerate() {
                let got: Vec<u8> = (0..data).map(|column| code.coefficient(row, column)).collect();
                assert_eq!(got, hex(&text.replace(' ', "")), "{data} data shards, row {row}");
            }
        };
        check(1, &["8e", "f4"]);
        check(3, &["8e f4 47", "f4 8e a7"]);
        check(4, &["8e f4 47 a7", "f4 8e a7 47"]);
        check(
            10,
            &[
                "f4 47 a7 7a ba ad 9d dd 98 3d",
                "8e a7 47 ba 7a 9d ad 98 dd aa",
                "01 7a ba 47 a7 dd 98 ad 9d 5d",
            ],
        );
    }

    #[test]
    fn parity_is_the_documents() {
        let check = |code: Code, data: usize, parity: &[&str]| {
            let parity: Vec<Vec<u8>> = parity.iter().map(|text| hex(text)).collect();
            assert_eq!(code.encode(&shards(data)), Ok(parity));
        };
        check(
            Code::video(4, 2).unwrap(),
            4,
            &["54c96dec53e09d4f02d69daec79baf79", "baab6f690bc5d42bc036f2137851fe58"],
        );
        check(
            Code::video(10, 3).unwrap(),
            10,
            &[
                "d005dba8b39a326b6845122a16d6f709",
                "f340b98fa8d479f330cb247a2347f3cc",
                "07bcf30f929f11ef31129a63be31c88d",
            ],
        );
        check(Code::AUDIO, 4, &["958efa897f7352fc975e2cb38489a3e2", "ab00043b7b3e09db67254df4a61be88e"]);
    }

    /// Every way of losing up to as many shards as there are parity shards.
    fn check_all_losses(code: Code) {
        let data = shards(code.data);
        let all: Vec<Vec<u8>> = data.iter().cloned().chain(code.encode(&data).unwrap()).collect();
        let mut ways = 0;
        for lost in 0u32..1 << all.len() {
            if lost.count_ones() as usize > code.parity {
                continue;
            }
            ways += 1;
            let received: Vec<Option<&[u8]>> =
                all.iter().enumerate().map(|(i, s)| (lost >> i & 1 == 0).then_some(&s[..])).collect();
            let expected: Vec<(usize, Vec<u8>)> =
                (0..code.data).filter(|i| lost >> i & 1 == 1).map(|i| (i, data[i].clone())).collect();
            assert_eq!(code.restore(&received), Ok(expected), "lost {lost:b}");
        }
        assert!(ways > all.len());
    }

    #[test]
    fn every_loss_up_to_the_parity_is_restored() {
        check_all_losses(Code::AUDIO);
        check_all_losses(Code::video(4, 2).unwrap());
        check_all_losses(Code::video(10, 3).unwrap());
    }

    #[test]
    fn one_loss_too_many_is_refused() {
        let code = Code::video(4, 2).unwrap();
        let mut received: Vec<Option<Vec<u8>>> = shards(6).into_iter().map(Some).collect();
        received[..3].fill(None);
        assert_eq!(code.restore(&received), Err(Error::TooFew));
        assert_eq!(code.restore(&[None::<&[u8]>; 6]), Err(Error::TooFew));
        assert_eq!(code.restore(&received[..5]), Err(Error::ShardCount { need: 6, got: 5 }));
    }

    #[test]
    fn shards_of_different_lengths_are_refused() {
        let data = [&[1u8, 2][..], &[3]];
        assert_eq!(Code::video(2, 1).unwrap().encode(&data), Err(Error::Lengths));
        assert_eq!(
            Code::video(2, 1).unwrap().restore(&[Some(data[0]), None, Some(data[1])]),
            Err(Error::Lengths)
        );
    }

    #[test]
    fn the_field_has_room_for_255_shards() {
        assert!(Code::video(213, 42).is_some());
        assert!(Code::video(213, 43).is_none());
        assert!(Code::video(0, 2).is_none());
        assert!(Code::video(usize::MAX, 2).is_none());
    }

    proptest! {
        #[test]
        fn any_loss_up_to_the_parity_is_restored(
            (data, parity) in (1usize..=128, 0usize..=127),
            len in 1usize..40,
            seed in any::<u64>(),
            order in Just((0..255usize).collect::<Vec<_>>()).prop_shuffle(),
            loss in 0usize..=127,
        ) {
            let code = Code::video(data, parity).unwrap();
            let mut state = seed | 1;
            let shards: Vec<Vec<u8>> = (0..data)
                .map(|_| (0..len).map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                }).collect())
                .collect();
            let mut received: Vec<Option<Vec<u8>>> =
                shards.iter().cloned().chain(code.encode(&shards).unwrap()).map(Some).collect();
            for lost in order.into_iter().filter(|&i| i < data + parity).take(loss.min(parity)) {
                received[lost] = None;
            }
            for (index, shard) in code.restore(&received).unwrap() {
                prop_assert!(received[index].is_none());
                received[index] = Some(shard);
            }
            let restored: Vec<Vec<u8>> = received.into_iter().take(data).map(Option::unwrap).collect();
            prop_assert_eq!(restored, shards);
        }
    }
}
