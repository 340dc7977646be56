//! How far the spool has been replayed.

use super::directory::Directory;

const NAME: &str = "position";

/// Everything before it has been confirmed, in the segment it names.
///
/// It only saves work: what is replayed again has the same ids. So it is replaced without waiting
/// for the disk, and whatever is wrong with it means the segment is replayed from its start. What
/// must not happen is that it skips events, hence the checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The segment's number.
    pub(super) segment: u64,
    /// Bytes from the segment's start.
    pub(super) offset: u64,
}

impl Position {
    /// The position an earlier process left; the very beginning when there is none.
    pub(super) fn load(directory: &Directory) -> Self {
        let file = directory.small_file(NAME).unwrap_or_default();
        let text = String::from_utf8_lossy(&file);
        Self::parse(&text).unwrap_or_default()
    }

    /// Leaves the position for the next process.
    pub(super) fn save(self, directory: &Directory) {
        if let Err(error) = directory.replace(NAME, self.text().as_bytes()) {
            log::warn!("spool: the position cannot be written, more will be replayed: {error}");
        }
    }

    fn text(self) -> String {
        let body = format!("{} {}", self.segment, self.offset);
        format!("{body} {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (segment, rest) = text.split_once(' ')?;
        let position = Self {
            segment: segment.parse().ok()?,
            offset: rest.split_once(' ')?.0.parse().ok()?,
        };
        (position.text() == text).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_a_damaged_one_never_is() {
        let position = Position {
            segment: 12,
            offset: 3_400,
        };
        let text = position.text();
        assert_eq!(Position::parse(&text), Some(position));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let damaged = String::from_utf8_lossy(&bytes);
            assert_eq!(Position::parse(&damaged), None, "{damaged:?}");
        }
        for cut in 0..text.len() {
            assert_eq!(Position::parse(&text[..cut]), None);
        }
    }
}
