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
    let unreadable = |error: io::Error| InputError::Read {
        name: name.to_owned(),
        line: 0,
        error: error.to_string(),
    };
    let mut packed = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut text: Box<dyn BufRead + Send> = if packed
        .fill_buf()
        .map_err(unreadable)?
        .starts_with(b"\x1f\x8b")
    {
        let plain = MultiGzDecoder::new(packed);
        Box::new(BufReader::with_capacity(BUFFER_BYTES, plain))
    } else {
        Box::new(packed)
    };
    if text
        .fill_buf()
        .map_err(unreadable)?
        .starts_with(b"\xef\xbb\xbf")
    {
        text.consume(3);
    }
    let found = content(text.fill_buf().map_err(unreadable)?)
        .map_err(|fault| InputError::Content(format!("{name} {fault}")))?;
    Ok((text, asked.unwrap_or(found)))
}

/// What a file is that begins with `head`.
fn content(head: &[u8]) -> Result<Format, &'static str> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err("is UTF-16: convert it to UTF-8 first");
    }
    if head.contains(&0) {
        return Err("is neither text nor gzip: give a CSV or NDJSON file");
    }
    match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err("is empty"),
        Some(b'[') => Err("is a JSON array: write one JSON object per line instead (NDJSON)"),
        Some(b'{') => Ok(Format::Ndjson),
        Some(_) => Ok(Format::Csv),
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
            (b"PK\x03\x04\0\0".to_vec(), "neither"),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Input::open(Path::new("no/such.csv"), None).err().unwrap();
        assert!(error.to_string().starts_with("cannot open no/such.csv: "));
    }
}
