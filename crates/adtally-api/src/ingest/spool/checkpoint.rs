//! How far the spool has been replayed.

use super::directory::Directory;

const NAME: &str = "position";

/// Everything before it has been confirmed, in the segment it names.
///
/// It only saves work: what is replayed again has the same ids. So it is replaced without waiting
/// for the disk, and whatever is wrong with it means the segment is replayed from its start. What
/// must not happen is that it skips events, hence the checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The segment's number.
    pub(super) segment: u64,
    /// Bytes from the segment's start.
    pub(super) offset: u64,
}

impl Checkpoint {
    /// The checkpoint an earlier process left; the very beginning when there is none.
    pub(super) fn load(directory: &Directory) -> Self {
        let file = directory.small_file(NAME).unwrap_or_default();
        let text = String::from_utf8_lossy(&file);
        Self::parse(&text).unwrap_or_default()
    }

    /// Leaves the checkpoint for the next process.
    pub(super) fn save(self, directory: &Directory) {
        if let Err(error) = directory.replace(NAME, self.text().as_bytes()) {
            log::warn!("spool: the checkpoint cannot be written, more will be replayed: {error}");
        }
    }

    fn text(self) -> String {
        let body = format!("{} {}", self.segment, self.offset);
        format!("{body} {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (segment, rest) = text.split_once(' ')?;
        let checkpoint = Self {
            segment: segment.parse().ok()?,
            offset: rest.split_once(' ')?.0.parse().ok()?,
        };
        (checkpoint.text() == text).then_some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_back_and_a_damaged_one_never_is() {
        let checkpoint = Checkpoint {
            segment: 12,
            offset: 3_400,
        };
        let text = checkpoint.text();
        assert_eq!(Checkpoint::parse(&text), Some(checkpoint));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let damaged = String::from_utf8_lossy(&bytes);
            assert_eq!(Checkpoint::parse(&damaged), None, "{damaged:?}");
        }
        for cut in 0..text.len() {
            assert_eq!(Checkpoint::parse(&text[..cut]), None);
        }
    }
}
