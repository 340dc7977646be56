//! The bytes of a file: plain or gzip, CSV or NDJSON, told apart by what they are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use super::args::Format;

const BUFFER_BYTES: usize = 64 * 1024;

/// Why a file cannot be imported, or only in part.
#[derive(Debug, Error)]
pub(super) enum InputError {
    /// It cannot be opened.
    #[error("cannot open {name}: {error}")]
    Open {
        /// The file.
        name: String,
        /// The reason.
        error: io::Error,
    },
    /// Reading broke off.
    #[error("cannot read {name} beyond line {line}: {error}; import it again once it is whole")]
    Read {
        /// The file.
        name: String,
        /// The last line that was read.
        line: u64,
        /// The reason.
        error: String,
    },
    /// It holds something else.
    #[error("{0}")]
    Content(String),
}

impl InputError {
    /// Reading `name` broke off behind `line`.
    pub(super) fn read(name: &str, line: u64, error: &io::Error) -> Self {
        Self::Read {
            name: name.to_owned(),
            line,
            error: error.to_string(),
        }
    }
}

/// A file, opened and recognised.
pub(super) struct Input {
    /// What messages call it.
    pub(super) name: String,
    /// Its text, without compression and byte order mark.
    pub(super) text: Box<dyn BufRead + Send>,
    /// What it holds.
    pub(super) format: Format,
    /// Its length on disk, where that is known.
    pub(super) length: Option<u64>,
    /// How many bytes of that length were read.
    pub(super) progress: Arc<AtomicU64>,
}

impl Input {
    /// Opens `path`, `-` for standard input.
    ///
    /// # Errors
    /// [`InputError::Open`] and [`InputError::Content`], each one line for a person.
    pub(super) fn open(path: &Path, format: Option<Format>) -> Result<Self, InputError> {
        let name = path.display().to_string();
        let opened = open(path).map_err(|error| InputError::Open {
            name: name.clone(),
            error,
        });
        let (file, length) = opened?;
        let progress = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            inner: file,
            read: Arc::clone(&progress),
        };
        let (text, format) = recognise(counted, format, &name)?;
        Ok(Self {
            name,
            text,
            format,
            length,
            progress,
        })
    }
}

type Opened = (Box<dyn Read + Send>, Option<u64>);

fn open(path: &Path) -> io::Result<Opened> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), length))
}

type Recognised = (Box<dyn BufRead + Send>, Format);

fn recognise(
    file: impl Read + Send + 'static,
    asked: Option<Format>,
    name: &str,
) -> Result<Recognised, InputError> {
    let unreadable = |error: io::Error| InputError::read(name, 0, &error);
    let content = |fault| InputError::Content(format!("{name} {fault}"));
    let packed = Peeked::new(file).map_err(unreadable)?;
    let mut text = if packed.head().starts_with(b"\x1f\x8b") {
        Peeked::new(Gunzip(MultiGzDecoder::new(buffered(packed)))).map_err(unreadable)?
    } else {
        Peeked::new(packed).map_err(unreadable)?
    };
    refuse_binary(text.head()).map_err(content)?;
    while text.head().starts_with(b"\xef\xbb\xbf") {
        text = text.without(3).map_err(unreadable)?;
    }
    let mut text = buffered(text);
    // Blank lines may come first.
    let mut blank = Vec::new();
    let first = loop {
        match text.fill_buf().map_err(unreadable)?.first().copied() {
            Some(byte) if byte.is_ascii_whitespace() && blank.len() < BUFFER_BYTES => {
                blank.push(byte);
                text.consume(1);
            }
            first => break first,
        }
    };
    let found = match first {
        None => return Err(content("is empty")),
        Some(b'[') => {
            let fault = "is a JSON array: write one JSON object per line instead (NDJSON)";
            return Err(content(fault));
        }
        Some(b'{') => Format::Ndjson,
        Some(_) => Format::Csv,
    };
    let text = io::Cursor::new(blank).chain(text);
    Ok((Box::new(text), asked.unwrap_or(found)))
}

fn buffered<R: Read>(inner: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, inner)
}

/// Refuses what begins with `head` and is known to be no text.
fn refuse_binary(head: &[u8]) -> Result<(), &'static str> {
    let known: [(&[u8], &str); 8] = [
        (b"\xff\xfe", "is UTF-16: convert it to UTF-8 first"),
        (b"\xfe\xff", "is UTF-16: convert it to UTF-8 first"),
        (
            b"PK\x03\x04",
            "is a zip archive or a workbook: unpack or export it first",
        ),
        (b"\x1f\x8b", "is gzip within gzip: unpack it first"),
        (b"\x28\xb5\x2f\xfd", "is packed with zstd: unpack it first"),
        (b"BZh", "is packed with bzip2: unpack it first"),
        (b"\xfd7zX", "is packed with xz: unpack it first"),
        (b"PAR1", "is a Parquet file: export it as CSV first"),
    ];
    if let Some((_, fault)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(fault);
    }
    if head.contains(&0) {
        return Err("is neither text nor gzip: give a CSV or NDJSON file");
    }
    Ok(())
}

/// A reader whose first four bytes are known, however slowly they come.
struct Peeked {
    head: Vec<u8>,
    inner: Box<dyn Read + Send>,
}

impl Peeked {
    fn new(inner: impl Read + Send + 'static) -> io::Result<Self> {
        let mut head = Vec::new();
        let mut inner: Box<dyn Read + Send> = Box::new(inner);
        inner.by_ref().take(4).read_to_end(&mut head)?;
        Ok(Self { head, inner })
    }

    fn head(&self) -> &[u8] {
        &self.head
    }

    /// The same without its first `count` bytes.
    fn without(mut self, count: usize) -> io::Result<Self> {
        self.head.drain(..count.min(self.head.len()));
        Self::new(self)
    }
}

impl Read for Peeked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() {
            return self.inner.read(buffer);
        }
        let count = self.head.as_slice().read(buffer)?;
        self.head.drain(..count);
        Ok(count)
    }
}

/// Unpacks gzip and says in a person's words what is wrong with it.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let said = match error.kind() {
                io::ErrorKind::UnexpectedEof => "the compressed file breaks off",
                io::ErrorKind::InvalidInput if error.to_string().contains("header") => {
                    "what follows the compressed data is not gzip"
                }
                io::ErrorKind::InvalidInput => {
                    "the compressed file is damaged, perhaps in lines before"
                }
                _ => return error,
            };
            io::Error::new(error.kind(), said)
        })
    }
}

/// A reader that tells how far it came.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(String, Format), InputError> {
        let (mut text, format) = recognise(io::Cursor::new(bytes.to_vec()), None, "f")?;
        let mut all = String::new();
        text.read_to_string(&mut all).unwrap();
        Ok((all, format))
    }

    #[test]
    fn content_is_recognised_whatever_the_file_is_called() {
        for (bytes, text, format) in [
            (b"a,b\n1,2\n".to_vec(), "a,b\n1,2\n", Format::Csv),
            (gzip(b"a,b\n1,2\n"), "a,b\n1,2\n", Format::Csv),
            (b"\xef\xbb\xbfa,b\n".to_vec(), "a,b\n", Format::Csv),
            (
                b"\n {\"ad_id\":1}\n".to_vec(),
                "\n {\"ad_id\":1}\n",
                Format::Ndjson,
            ),
            (gzip(b"\xef\xbb\xbf{}\n"), "{}\n", Format::Ndjson),
            (b"\xef\xbb\xbf\xef\xbb\xbfa".to_vec(), "a", Format::Csv),
        ] {
            assert_eq!(read(&bytes).unwrap(), (text.to_owned(), format));
        }
    }

    #[test]
    fn files_that_were_compressed_apart_and_joined_are_read_to_the_end() {
        let joined = [gzip(b"a\n1\n"), gzip(b"2\n")].concat();
        assert_eq!(read(&joined).unwrap().0, "a\n1\n2\n");
    }

    #[test]
    fn what_cannot_be_events_is_refused_in_one_line() {
        for (bytes, part) in [
            (b"".to_vec(), "empty"),
            (gzip(b" \n"), "empty"),
            (b"[{}]".to_vec(), "array"),
            (b"\xff\xfea\0".to_vec(), "UTF-16"),
            (b"PK\x03\x04\0\0".to_vec(), "zip"),
            (b"a\0b\0".to_vec(), "neither"),
            (b"BZh91AY".to_vec(), "bzip2"),
            (gzip(&gzip(b"a,b\n")), "gzip within gzip"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    /// Gives one byte at a time, as a slow pipe does.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    #[test]
    fn content_is_recognised_however_slowly_it_comes() {
        for bytes in [gzip(b"\xef\xbb\xbf{}"), b"\xef\xbb\xbf\n{}".to_vec()] {
            let slow = Slow(io::Cursor::new(bytes));
            let (mut text, format) = recognise(slow, None, "f").unwrap();
            let mut all = String::new();
            text.read_to_string(&mut all).unwrap();
            assert_eq!((all.trim(), format), ("{}", Format::Ndjson));
        }
    }

    #[test]
    fn what_follows_compressed_data_and_is_not_compressed_is_told() {
        let packed = gzip(b"a\n1\n");
        let broken = packed[..packed.len() - 3].to_vec();
        let mut damaged = packed.clone();
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        let garbage = [packed.clone(), b"garbage and more".to_vec()].concat();
        let second_cut = [packed.clone(), packed[..7].to_vec()].concat();
        for (bytes, part) in [
            (broken, "breaks off"),
            (second_cut, "breaks off"),
            (garbage, "not gzip"),
            (damaged, "damaged"),
        ] {
            let (mut text, _) = recognise(io::Cursor::new(bytes), None, "f").unwrap();
            let mut all = Vec::new();
            let error = text.read_to_end(&mut all).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_eq!(all, b"a\n1\n");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Input::open(Path::new("no/such.csv"), None).err().unwrap();
        assert!(error.to_string().starts_with("cannot open no/such.csv: "));
    }
}
