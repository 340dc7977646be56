//! Splits a stream into its frames, as its bytes arrive (AMQP 0-9-1, section 4.2.3).

use super::decodable;

/// A frame's kind, channel and length.
const FRAME_HEADER: usize = 7;
/// The kind of a frame with a message's properties.
const CONTENT_HEADER: u8 = 2;
/// A frame of properties longer than any broker sends is left to the library to refuse.
const LONGEST: usize = 1_024 * 1_024;

/// Where in its frames a stream is.
#[derive(Debug, Default)]
pub(super) struct FrameSplitter {
    /// The beginning of a frame that is not checked yet.
    buffered: Vec<u8>,
    /// How many more bytes pass as they are.
    passing: usize,
}

impl FrameSplitter {
    /// Appends what `bytes` add to the stream to `out`, properties that cannot be decoded replaced.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let wanted = match self.passing {
                0 => self.missing(),
                passing => passing,
            };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            bytes = later;
            if self.passing > 0 {
                self.passing -= now.len();
                out.extend_from_slice(now);
            } else {
                self.buffered.extend_from_slice(now);
                self.check(out);
            }
        }
    }

    /// How many bytes the buffered frame lacks to be checked; never 0.
    fn missing(&self) -> usize {
        let whole = self
            .payload_length()
            .map_or(FRAME_HEADER, |length| FRAME_HEADER + length + 1);
        whole.saturating_sub(self.buffered.len()).max(1)
    }

    /// The length of the buffered frame's payload, once its header is complete.
    fn payload_length(&self) -> Option<usize> {
        let length = self.buffered.get(3..FRAME_HEADER)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(length)).ok()
    }

    fn check(&mut self, out: &mut Vec<u8>) {
        let Some(length) = self.payload_length() else {
            return;
        };
        if self.buffered.first() != Some(&CONTENT_HEADER) || length > LONGEST {
            out.append(&mut self.buffered);
            self.passing = length + 1;
        } else if self.buffered.len() == FRAME_HEADER + length + 1 {
            let payload = self
                .buffered
                .get(FRAME_HEADER..FRAME_HEADER + length)
                .unwrap_or_default();
            match decodable::replacement(payload) {
                None => out.append(&mut self.buffered),
                Some(replacement) => {
                    log::warn!("a message has properties that nobody can read; they are dropped");
                    out.extend(self.buffered.iter().take(3));
                    out.extend_from_slice(&(replacement.len() as u32).to_be_bytes());
                    out.extend_from_slice(&replacement);
                    out.extend(self.buffered.last());
                    self.buffered.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&[kind, 0, 1], &length[..], payload, &[0xce]].concat()
    }

    /// The properties of a message with `levels` tables within tables.
    fn header(levels: usize) -> Vec<u8> {
        let table = (0..levels).fold(vec![0; 4], |inner, _| {
            let entry = [b"\x01xF", &inner[..]].concat();
            [&(entry.len() as u32).to_be_bytes()[..], &entry].concat()
        });
        [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0], &table[..]].concat()
    }

    fn guarded(stream: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut splitter, mut out, mut rest) = (FrameSplitter::default(), Vec::new(), stream);
        for cut in cuts {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            splitter.pass(now, &mut out);
            rest = later;
        }
        splitter.pass(rest, &mut out);
        out
    }

    #[test]
    fn deeply_nested_tables_are_dropped_and_the_neighbours_pass() {
        let (before, after) = (frame(1, b"method"), frame(3, b"body"));
        let stream = [before.clone(), frame(2, &header(15_000)), after.clone()].concat();
        let out = guarded(&stream, &[]);
        assert!(out.len() < 200 && out.starts_with(&before) && out.ends_with(&after));
        let again = guarded(&out, &[]);
        assert_eq!(again, out, "what replaces it can be decoded");
    }

    proptest! {
        #[test]
        fn decodable_frames_pass_unchanged_however_they_are_cut(
            frames in prop::collection::vec((0..4_u8, prop::collection::vec(any::<u8>(), 0..40), 0..5_usize), 1..8),
            cuts in prop::collection::vec(0..30_usize, 0..20),
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(kind, payload, levels)| match kind {
                2 => frame(2, &header(*levels)),
                kind => frame(*kind, payload),
            }).collect();
            prop_assert_eq!(guarded(&stream, &cuts), stream);
        }

        #[test]
        fn any_bytes_are_cut_alike(
            stream in prop::collection::vec(0..4_u8, 0..200),
            cuts in prop::collection::vec(0..30_usize, 0..20),
        ) {
            prop_assert_eq!(guarded(&stream, &cuts), guarded(&stream, &[]));
        }
    }
}
