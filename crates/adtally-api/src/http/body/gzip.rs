//! Gzip, decompressed within bounds: a small body must not become a large one, nor much work.

use std::io::Read;

use flate2::bufread::GzDecoder;

/// The most members of one body. Tools that compress in blocks of 64 KiB make 64 of 4 MiB.
const MAX_MEMBERS: usize = 256;

/// How many times its compressed size a body may become, beyond [`ALWAYS_ALLOWED`]. Batches of events shrink to a
/// tenth, seldom to a thirtieth.
const MAX_RATIO: usize = 100;

/// What any body may become: more than 10,000 of the shortest events, all alike.
const ALWAYS_ALLOWED: usize = 512 * 1_024;

/// Why a body is not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not gzip, or damaged.
    Malformed,
    /// It has more members than it may.
    TooManyMembers,
    /// It holds more than `limit` bytes.
    TooLarge {
        /// In bytes.
        limit: usize,
    },
}

/// The content of `compressed`, at most `limit` bytes.
pub(super) fn decompress(compressed: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let by_ratio = compressed.len().saturating_mul(MAX_RATIO);
    let limit = limit.min(by_ratio.max(ALWAYS_ALLOWED));
    let mut content = Vec::new();
    let mut rest = compressed;
    for _ in 0..MAX_MEMBERS {
        rest = member(rest, &mut content, limit)?;
        if rest.is_empty() {
            return Ok(content);
        }
    }
    Err(Fault::TooManyMembers)
}

/// Decompresses the first member of `compressed` behind `content`, and returns what follows it.
fn member<'a>(
    compressed: &'a [u8],
    content: &mut Vec<u8>,
    limit: usize,
) -> Result<&'a [u8], Fault> {
    let room = (limit - content.len()) as u64;
    let mut decoder = GzDecoder::new(compressed);
    decoder
        .by_ref()
        .take(room + 1)
        .read_to_end(content)
        .map_err(|_| Fault::Malformed)?;
    if content.len() > limit {
        return Err(Fault::TooLarge { limit });
    }
    Ok(decoder.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMIT: usize = 4 * 1_024 * 1_024;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_make_one_content_and_only_so_many() {
        let members = |count| gzip(b"ab").repeat(count);
        assert_eq!(decompress(&members(MAX_MEMBERS), LIMIT).unwrap().len(), 512);
        let many = decompress(&members(MAX_MEMBERS + 1), LIMIT);
        assert_eq!(many.unwrap_err(), Fault::TooManyMembers);
        let empty = gzip(b"").repeat(209_715);
        assert_eq!(
            decompress(&empty, LIMIT).unwrap_err(),
            Fault::TooManyMembers
        );
    }

    #[test]
    fn a_body_becomes_no_more_than_so_many_times_its_size() {
        let bomb = gzip(&[b'0', b','].repeat(LIMIT / 2));
        assert!(bomb.len() < 5_000, "{}", bomb.len());
        let refused = decompress(&bomb, LIMIT).unwrap_err();
        let limit = ALWAYS_ALLOWED;
        assert_eq!(refused, Fault::TooLarge { limit });
        // And never to more than a body may be.
        let random: Vec<u8> = (0..LIMIT as u32 / 4 + 1)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes())
            .collect();
        let refused = decompress(&gzip(&random), LIMIT).unwrap_err();
        assert_eq!(refused, Fault::TooLarge { limit: LIMIT });
    }

    #[test]
    fn the_largest_batch_of_equal_short_events_is_decompressed() {
        let event = br#"{"ad_id":9223372036854775807,"kind":"impression"},"#;
        let batch = event.repeat(10_000);
        assert_eq!(decompress(&gzip(&batch), LIMIT).unwrap(), batch);
    }

    #[test]
    fn what_is_no_gzip_is_malformed() {
        let honest = gzip(b"content");
        for body in [
            &b""[..],
            b"plain",
            &honest[..10],
            &honest[..honest.len() - 1],
            &[&honest[..], b"garbage"].concat(),
        ] {
            assert_eq!(
                decompress(body, LIMIT).unwrap_err(),
                Fault::Malformed,
                "{body:?}"
            );
        }
    }
}
