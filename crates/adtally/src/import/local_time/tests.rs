use super::*;

fn read(format: &str, zone: &str, text: &str) -> Result<String, TimeFault> {
    let reader = TimeReader::new(format, zone.parse().unwrap()).unwrap();
    reader.read(text).map(|time| time.to_string())
}

#[test]
fn an_hour_may_lack_its_leading_zero() {
    let minutes = "%Y-%m-%d %H:%M";
    assert_eq!(
        read(minutes, "UTC", "2017-11-07 9:30").unwrap(),
        "2017-11-07T09:30:00Z"
    );
    assert_eq!(
        read(minutes, "UTC", "2017-11-07 09:30").unwrap(),
        "2017-11-07T09:30:00Z"
    );
    assert_eq!(
        read(minutes, "Asia/Tehran", "2017-11-07 9:30").unwrap(),
        "2017-11-07T06:00:00Z"
    );
}

#[test]
fn a_time_that_clocks_showed_twice_is_the_earlier_one() {
    let minutes = "%Y-%m-%d %H:%M";
    assert_eq!(
        read(minutes, "Europe/Berlin", "2026-10-25 02:30").unwrap(),
        "2026-10-25T00:30:00Z"
    );
    let fault = read(minutes, "Europe/Berlin", "2026-03-29 02:30").unwrap_err();
    assert!(matches!(fault, TimeFault::Skipped { .. }), "{fault}");
}

#[test]
fn an_offset_in_the_text_wins_over_the_zone() {
    for (format, text) in [
        ("rfc3339", "2026-11-22T09:30:00.123+03:30"),
        ("%Y-%m-%d %H:%M:%S%.f %z", "2026-11-22 09:30:00.123 +0330"),
        ("%Y-%m-%dT%H:%M:%S%.f%:z", "2026-11-22T09:30:00.123+03:30"),
        ("unix-ms", "1795327200123"),
    ] {
        let time = read(format, "America/New_York", text).unwrap();
        assert_eq!(time, "2026-11-22T06:00:00.123Z", "{format}");
    }
    assert_eq!(
        read("unix", "America/New_York", "1795327200").unwrap(),
        "2026-11-22T06:00:00Z"
    );
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "2017-11-07",
        "2017-11-07 25:00",
        "2017-11-07 9:30 x",
        "07.11.2017 9:30",
    ] {
        let fault = read("%Y-%m-%d %H:%M", "UTC", text).unwrap_err();
        assert!(matches!(fault, TimeFault::Mismatch { .. }), "{fault}");
    }
    let fault = read("%Y-%m-%d %H:%M", "UTC", "1969-12-31 23:59").unwrap_err();
    assert!(matches!(fault, TimeFault::OutOfRange { .. }), "{fault}");
}

#[test]
fn a_format_that_cannot_work_is_refused_at_once() {
    for format in [
        "%Y-%m-%d",
        "%H:%M",
        "%Q",
        "",
        "%Y-%m-%d %H:%M %",
        "%Y-%m-%d %I",
        "%Y-%m-%d %H %S",
        "%d %H",
    ] {
        assert!(TimeReader::new(format, Tz::UTC).is_err(), "{format}");
    }
    for format in [
        "%Y-%m-%d %I:%M %p",
        "%d/%b/%Y:%H:%M:%S %z",
        "%s",
        "%Y%m%d%H%M%S",
        "%c",
        "%+",
    ] {
        assert!(TimeReader::new(format, Tz::UTC).is_ok(), "{format}");
    }
}

#[test]
fn letters_of_a_zone_and_bare_nanoseconds_are_refused_with_what_to_say_instead() {
    let zone = TimeReader::new("%Y-%m-%d %H:%M:%S %Z", Tz::UTC).unwrap_err();
    assert!(
        zone.contains("%z") && zone.contains("--time-zone"),
        "{zone}"
    );
    let fraction = TimeReader::new("%Y-%m-%d %H:%M:%S.%f", Tz::UTC).unwrap_err();
    assert!(fraction.contains("%.f"), "{fraction}");
}

/// Every way to write a specifier of chrono's, whether it exists or not.
fn specifiers() -> impl Iterator<Item = String> {
    let before = [
        "", "-", "_", "0", ":", "::", ":::", "#", ".", ".3", ".6", ".9", "3", "6", "9",
    ];
    let letters = ('a'..='z').chain('A'..='Z').chain(['+']);
    letters.flat_map(move |letter| before.map(|before| format!("%{before}{letter}")))
}

/// `text` with one of its letters, digits or signs changed, each in turn.
fn changed(text: &str) -> impl Iterator<Item = String> {
    let other = |char: char| match char {
        '0'..='8' => char::from_u32(u32::from(char) + 1),
        '9' => Some('0'),
        '+' => Some('-'),
        'a'..='z' | 'A'..='Z' => Some('Q'),
        _ => None,
    };
    text.char_indices().filter_map(move |(at, char)| {
        let (head, tail) = text.split_at(at);
        Some(format!(
            "{head}{}{}",
            other(char)?,
            &tail[char.len_utf8()..]
        ))
    })
}

#[test]
fn every_specifier_that_is_taken_decides_something() {
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for specifier in specifiers() {
        let format = format!("%Y-%m-%d %H:%M:%S | {specifier}");
        if chrono::format::StrftimeItems::new(&format).parse().is_err() {
            continue;
        }
        let Ok(reader) = TimeReader::new(&format, Tz::UTC) else {
            refused.push(specifier);
            continue;
        };
        let text = reader.pattern.write(sample());
        let whole = reader.read(&text).unwrap();
        let (head, part) = text.split_once('|').unwrap();
        if part.trim().is_empty() {
            continue;
        }
        let decides = changed(part).any(|part| reader.read(&format!("{head}|{part}")) != Ok(whole));
        assert!(decides, "{specifier} is read and decides nothing");
        taken.push(specifier);
    }
    assert!(taken.len() > 40, "{taken:?}");
    // The two of offsets are ones that chrono writes and cannot read.
    let expected = ["%f", "%-f", "%_f", "%0f", "%Z", "%::z", "%:::z"];
    assert!(
        refused.iter().all(|one| expected.contains(&one.as_str())),
        "{refused:?}"
    );
}

#[test]
fn a_format_that_ends_with_the_hour_means_its_first_minute() {
    for (format, text, time) in [
        ("%y%m%d%H", "14102100", "2014-10-21T00:00:00Z"),
        ("%y%m%d%H", "14103023", "2014-10-30T23:00:00Z"),
        ("%Y-%m-%d %H", "2014-10-21 9", "2014-10-21T09:00:00Z"),
        (
            "%Y-%m-%dT%H%z",
            "2014-10-21T09+0330",
            "2014-10-21T05:30:00Z",
        ),
        ("%m/%d/%Y %I %p", "10/21/2014 12 AM", "2014-10-21T00:00:00Z"),
        (
            "%m/%d/%Y 12:00:00 AM|%H",
            "10/21/2014 12:00:00 AM|17",
            "2014-10-21T17:00:00Z",
        ),
    ] {
        assert_eq!(read(format, "UTC", text).unwrap(), time, "{format}");
    }
    assert_eq!(
        read("%y%m%d%H", "Asia/Tehran", "14102100").unwrap(),
        "2014-10-20T20:30:00Z"
    );
}

#[test]
fn an_offset_that_may_lack_its_minutes_is_an_offset() {
    for text in [
        "2014-10-21 09:00 +03:30",
        "2014-10-21 09:30 +04",
        "2014-10-21 05:30 Z",
    ] {
        assert_eq!(
            read("%Y-%m-%d %H:%M %#z", "America/New_York", text).unwrap(),
            "2014-10-21T05:30:00Z"
        );
    }
}

#[test]
fn digits_that_run_together_have_their_full_width() {
    for (format, text) in [
        ("%y%m%d%H", "1410210"),
        ("%y%m%d%H", "4102100"),
        ("%Y%m%d %H:%M", "2017111 9:30"),
        ("%Y%m%d%H%M%S", "2017117930"),
        // A date alone is not the hour of another one.
        ("%d/%m/%y %H", "07/11/2017"),
        ("%d/%m/%y %H:%M", "07/11/201709:30"),
    ] {
        let fault = read(format, "UTC", text).unwrap_err();
        assert!(
            matches!(fault, TimeFault::Mismatch { .. }),
            "{format} {text}: {fault}"
        );
    }
    for (format, text, time) in [
        (
            "%Y%m%d%H%M%S%3f",
            "20130606000104008",
            "2013-06-06T00:01:04.008Z",
        ),
        ("%Y%m%d %H:%M", "20171107 9:30", "2017-11-07T09:30:00Z"),
        ("%m/%d/%Y %H:%M", "11/6/2017 14:32", "2017-11-06T14:32:00Z"),
        ("%d/%m/%y %H:%M", "7/11/17 9:30", "2017-11-07T09:30:00Z"),
    ] {
        assert_eq!(read(format, "UTC", text).unwrap(), time, "{format}");
    }
}

#[test]
fn seconds_are_not_taken_for_milliseconds_nor_numbers_that_were_rounded() {
    assert!(matches!(
        read("unix-ms", "UTC", "1795327200").unwrap_err(),
        TimeFault::Seconds { .. }
    ));
    for (format, text) in [
        ("unix-ms", "1.79532E+12"),
        ("unix-ms", "1795327200123.5"),
        ("unix", "1.79532E+9"),
        ("unix", "1795327200123"),
        ("unix", "1795327200.5"),
    ] {
        assert!(read(format, "UTC", text).is_err(), "{format} {text}");
    }
}
