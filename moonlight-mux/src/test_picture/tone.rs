//! What the test picture sounds like, as Opus. Pure: the time is an argument.

use std::f32::consts::TAU;
use std::time::Duration;

use bytes::Bytes;
use ropus::{Application, Bitrate, Channels, Encoder, Signal};

use super::{EncodingError, FLASH};
use crate::media::AudioTimestamp;

/// A quiet tone of 440 Hz left and one of 660 Hz right; as each second of the clock begins, a soft tick on both.
pub(super) struct Tone {
    encoder: Encoder,
    /// One second, sample by sample, left and right in turn: its end goes on into its beginning.
    second: Vec<f32>,
    /// Samples of a packet, per channel.
    samples: usize,
    packet: Vec<u8>,
}

/// The lengths that a packet may have, in milliseconds.
pub(super) const PACKET_MS: [u32; 3] = [5, 10, 20];

const LEFT_HZ: f32 = 440.0;
const RIGHT_HZ: f32 = 660.0;
const TICK_HZ: f32 = 1760.0;
/// Of full scale.
const TONE_LEVEL: f32 = 0.05;
const TICK_LEVEL: f32 = 0.2;
/// Two sines are no challenge: more would only cost bandwidth.
const BITS_PER_SECOND: u32 = 96_000;
/// More than a packet of one frame takes at any rate (RFC 6716, section 3.4: 1275 bytes).
const MAX_PACKET: usize = 1500;

impl Tone {
    /// With packets of a length of [`PACKET_MS`].
    pub(super) fn new(packet_ms: u32) -> Result<Self, EncodingError> {
        let encoder =
            Encoder::builder(AudioTimestamp::HZ as u32, Channels::Stereo, Application::RestrictedLowDelay)
                .bitrate(Bitrate::Bits(BITS_PER_SECOND))
                // As hosts do: parity needs packets that are as long as each other.
                .vbr(false)
                .signal(Signal::Music)
                // Half the processor time of the default, and two sines sound the same.
                .complexity(4)
                .build()
                .map_err(EncodingError::StartAudio)?;
        let samples = packet_ms as usize * AudioTimestamp::HZ as usize / 1000;
        Ok(Self { encoder, second: second(), samples, packet: vec![0; MAX_PACKET] })
    }

    /// The packet that begins at a time of day, given since the start of 1970.
    pub(super) fn packet(&mut self, utc: Duration) -> Result<Bytes, EncodingError> {
        let hz = AudioTimestamp::HZ as u32;
        let first = u64::from(utc.subsec_nanos()) * u64::from(hz) / 1_000_000_000;
        let samples = self.second.iter().cycle().skip(2 * first as usize).take(2 * self.samples);
        let samples: Vec<f32> = samples.copied().collect();
        let length = self.encoder.encode_float(&samples, &mut self.packet).map_err(EncodingError::Audio)?;
        Ok(Bytes::copy_from_slice(&self.packet[..length]))
    }
}

fn second() -> Vec<f32> {
    let mut second = Vec::with_capacity(2 * AudioTimestamp::HZ as usize);
    for sample in 0..AudioTimestamp::HZ {
        let time = sample as f32 / AudioTimestamp::HZ as f32;
        let tick = TICK_LEVEL * (1.0 - time / FLASH.as_secs_f32()).max(0.0).powi(2);
        let tick = tick * (TAU * TICK_HZ * time).sin();
        second.push(TONE_LEVEL * (TAU * LEFT_HZ * time).sin() + tick);
        second.push(TONE_LEVEL * (TAU * RIGHT_HZ * time).sin() + tick);
    }
    second
}

#[cfg(test)]
mod tests {
    use ropus::{DecodeMode, Decoder};

    use super::*;

    /// Samples of 10 ms, per channel.
    const SAMPLES: usize = 480;

    /// Two seconds from half past on, decoded: left and right.
    fn decoded(packet_ms: u32) -> [Vec<f32>; 2] {
        let mut tone = Tone::new(packet_ms).unwrap();
        let mut decoder = Decoder::new(48_000, Channels::Stereo).unwrap();
        let mut channels = [Vec::new(), Vec::new()];
        for packet in 0..2000 / packet_ms {
            let packet = tone.packet(Duration::from_millis((500 + packet * packet_ms).into())).unwrap();
            let mut samples = vec![0.0; 2 * 48 * packet_ms as usize];
            let count = decoder.decode_float(&packet, &mut samples, DecodeMode::Normal).unwrap();
            assert_eq!(count, 48 * packet_ms as usize);
            for sample in samples.chunks(2) {
                channels[0].push(sample[0]);
                channels[1].push(sample[1]);
            }
        }
        channels
    }

    /// How strong a frequency is in some samples (Goertzel), as the amplitude of a sine.
    fn level(samples: &[f32], hz: f32) -> f32 {
        let turn = |i: usize| TAU * hz * i as f32 / 48_000.0;
        let (re, im) = samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, sample)| {
            (re + sample * turn(i).cos(), im + sample * turn(i).sin())
        });
        2.0 * (re * re + im * im).sqrt() / samples.len() as f32
    }

    #[test]
    fn left_and_right_can_be_told_apart() {
        for packet_ms in PACKET_MS {
            let [left, right] = decoded(packet_ms);
            // Without the beginning, and without a tick in it.
            let quiet = 4_800..24_000;
            for (channel, own, other) in [(left, LEFT_HZ, RIGHT_HZ), (right, RIGHT_HZ, LEFT_HZ)] {
                let (own, other) =
                    (level(&channel[quiet.clone()], own), level(&channel[quiet.clone()], other));
                assert!((own - TONE_LEVEL).abs() < 0.1 * TONE_LEVEL, "{own}");
                assert!(other < 0.1 * TONE_LEVEL, "{other}");
            }
        }
    }

    #[test]
    fn it_ticks_as_each_second_begins() {
        for channel in decoded(10) {
            let loud: Vec<usize> = channel
                .chunks(SAMPLES)
                .enumerate()
                .filter(|(_, packet)| level(packet, TICK_HZ) > TICK_LEVEL / 3.0)
                .map(|(i, _)| i)
                .collect();
            // The first second begins with packet 50.
            assert!(loud.contains(&50) && loud.contains(&150), "{loud:?}");
            assert!(loud.iter().all(|i| (50..55).contains(i) || (150..155).contains(i)), "{loud:?}");
        }
    }

    #[test]
    fn a_second_goes_on_into_the_next() {
        let second = second();
        let largest = second.windows(3).map(|samples| (samples[2] - samples[0]).abs()).fold(0.0, f32::max);
        let (last, first) = (second[second.len() - 2], second[0]);
        assert!((last - first).abs() <= largest);
    }
}
