//! Files of clicks.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

const HEADER: &str = "ip,app,device,os,channel,click_time,attributed_time,is_attributed\n";

/// Real clicks that are kept beside the repository where there are any; says so when not.
pub(super) fn real() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let file = beside.join("clicks-2017-11-07.csv.gz");
    if file.is_file() {
        return Some(file);
    }
    // Past the capture of the test's output: a skipped test should be seen.
    let skipped = format!("SKIPPED, there is no {}\n", file.display());
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}

/// The text of a gzip file.
pub(super) fn unpacked(file: &Path) -> String {
    let mut text = String::new();
    let mut reader = MultiGzDecoder::new(File::open(file).unwrap());
    reader.read_to_string(&mut text).unwrap();
    text
}

/// Writes `text` to `path`, compressed.
pub(super) fn write_gzip(path: &Path, text: &str, level: Compression) {
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), level);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

/// Writes `text` to `path` as it is.
pub(super) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// A file of `rows` made-up clicks like the real ones: some thirty ads within twenty-six hours that
/// reach into three UTC days, every fiftieth row the same as the one before.
pub(super) fn generated(rows: u64) -> String {
    let mut numbers = Numbers(17);
    let mut text = HEADER.to_owned();
    let mut row = String::new();
    for number in 0..rows {
        if number % 50 != 49 {
            row = numbers.row();
        }
        text.push_str(&row);
    }
    text
}

/// A linear congruential generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn row(&mut self) -> String {
        let (ip, ad) = (self.below(100_000), 1 + self.below(6) * self.below(6));
        let minutes = 23 * 60 + self.below(26 * 60);
        let (day, hour, minute) = (6 + minutes / 1_440, minutes / 60 % 24, minutes % 60);
        format!("{ip},{ad},1,13,497,2017-11-{day:02} {hour}:{minute:02},,0\n")
    }
}
