//! `adtally import`: real history from a file, through the API.

mod args;
mod batch;
mod columns;
mod csv_rows;
mod delivery;
mod fields;
mod input;
mod lines;
mod local_time;
mod ndjson_rows;
mod records;
mod row;
mod row_id;
mod summary;
#[cfg(test)]
mod tests;
mod values;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adtally_service::{Failure, Shutdown};
use anyhow::anyhow;
use futures_util::{StreamExt, pin_mut, stream};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::api::{Client, ClientOptions};
use crate::numbers::{counted, thousands};
use crate::progress;
pub use args::ImportArgs;
use args::{CsvArgs, Format};
use batch::{Batch, read_batches};
use columns::Columns;
use csv_rows::{CsvPlan, CsvRows};
use delivery::{Courier, GivenUp};
use input::{Input, InputError};
use local_time::TimeReader;
use ndjson_rows::NdjsonRows;
use row::{OtherLines, Row, Rows};
use row_id::RowIds;
use summary::Summary;

/// Imports the file that `args` name and writes what became of it.
///
/// # Errors
/// Why not all of its rows were accepted.
pub(crate) async fn run(
    args: &ImportArgs,
    shutdown: Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let client = Client::new(args.sending.api.resolve()?, options(args))?;
    let source = tokio::select! {
        source = open(args, &client) => source?,
        () = shutdown.requested() => return Err(stopped(&GivenUp::Stopped)),
    };
    let (name, position) = (source.name, source.position);
    let bar = progress::bytes(source.length);

    let started = Instant::now();
    let (batches, reader) = start_reading(source.rows, args);
    let patience = args.sending.patience;
    let courier = Courier::new(client, args.source.clone(), patience, shutdown.clone());
    let mut summary = Summary::default();
    let in_flight = args.sending.in_flight as usize;
    let sent = send_all(batches, &courier, in_flight, &shutdown, |delivered| {
        summary.add(delivered);
        show(&bar, &position, &summary);
    });
    let sent = sent.await;
    bar.finish_and_clear();

    let refused = summary.refused();
    if summary.lines() > 0 {
        summary.write(out, &name, started.elapsed())?;
    }
    // Only what was sent in full was also read to its end: whoever writes a pipe may keep its reader
    // waiting for ever.
    match sent {
        Err(GivenUp::Failed(failure)) => Err(failure.into()),
        Err(given_up @ GivenUp::Stopped) => Err(stopped(&given_up)),
        Ok(()) => {
            reader.await??;
            match refused {
                0 => Ok(()),
                rows => Err(anyhow!("{} refused", counted(rows, "row"))),
            }
        }
    }
}

fn stopped(given_up: &GivenUp) -> anyhow::Error {
    anyhow!("{given_up}: import the file again, what was sent counts once")
}

/// How long a file may take to be recognised before an API that is away is told of instead.
const HEAD_START: Duration = Duration::from_millis(500);

/// An opened file, recognised.
struct Source {
    rows: AnyRows,
    name: String,
    length: Option<u64>,
    position: Arc<AtomicU64>,
}

/// Opens the file and reaches the API at once: either may take long.
async fn open(args: &ImportArgs, client: &Client) -> anyhow::Result<Source> {
    let mut opening = {
        let args = args.clone();
        spawn_blocking(move || opened(&args))
    };
    if let Err(failure) = client.reach().await {
        // What is wrong with the file is nearer at hand, if that is known.
        if let Ok(opened) = tokio::time::timeout(HEAD_START, &mut opening).await {
            opened??;
        }
        return Err(failure.into());
    }
    opening.await?
}

fn opened(args: &ImportArgs) -> anyhow::Result<Source> {
    let input = Input::open(&args.file, args.format)?;
    Ok(Source {
        name: input.name.clone(),
        length: input.length,
        position: Arc::clone(&input.progress),
        rows: rows(input, args)?,
    })
}

fn options(args: &ImportArgs) -> ClientOptions {
    ClientOptions {
        connections: args.sending.in_flight as usize,
        ..ClientOptions::default()
    }
}

/// The file's rows, whatever its format.
enum AnyRows {
    Csv(Box<CsvRows>),
    Ndjson(Box<NdjsonRows>),
}

impl Rows for AnyRows {
    fn next(&mut self, json: &mut Vec<u8>) -> Result<Option<Row>, InputError> {
        match self {
            Self::Csv(rows) => rows.next(json),
            Self::Ndjson(rows) => rows.next(json),
        }
    }

    fn take_other_lines(&mut self) -> OtherLines {
        match self {
            Self::Csv(rows) => rows.take_other_lines(),
            Self::Ndjson(rows) => rows.take_other_lines(),
        }
    }
}

fn rows(input: Input, args: &ImportArgs) -> anyhow::Result<AnyRows> {
    let ids = RowIds::new(&args.source);
    if input.format == Format::Ndjson {
        let rows = NdjsonRows::new(input.name, input.text, args.kind, ids);
        return Ok(AnyRows::Ndjson(Box::new(rows)));
    }
    let csv = &args.csv;
    if args.kind.is_none() && csv.kind_column.is_none() {
        let message = "a CSV file needs --kind click, --kind impression or --kind-column NAME";
        return Err(Failure::usage(message).into());
    }
    let plan = CsvPlan {
        name: input.name,
        delimiter: csv.delimiter,
        quoting: csv.quoting,
        kind: args.kind,
        times: times(csv)?,
        ids,
    };
    let rows = CsvRows::open(input.text, plan, |header| Columns::find(header, csv))?;
    Ok(AnyRows::Csv(Box::new(rows)))
}

fn times(csv: &CsvArgs) -> Result<TimeReader, Failure> {
    TimeReader::new(&csv.time_format, csv.time_zone)
        .map_err(|fault| Failure::usage(format!("--time-format {fault}")))
}

type Reading = (mpsc::Receiver<Batch>, JoinHandle<Result<(), InputError>>);

/// Reads the file on a thread of its own, a few batches ahead.
fn start_reading(rows: AnyRows, args: &ImportArgs) -> Reading {
    let (sender, receiver) = mpsc::channel(args.sending.in_flight as usize);
    let size = args.sending.batch as usize;
    let reader = spawn_blocking(move || read_batches(rows, size, &sender));
    (receiver, reader)
}

/// Sends all `batches`, several at a time, until one is given up or `shutdown` is requested.
async fn send_all(
    batches: mpsc::Receiver<Batch>,
    courier: &Courier,
    in_flight: usize,
    shutdown: &Shutdown,
    mut done: impl FnMut(delivery::Delivered),
) -> Result<(), GivenUp> {
    let batches = stream::unfold(batches, |mut batches| async {
        Some((batches.recv().await?, batches))
    });
    let deliveries = batches
        .take_until(shutdown.requested())
        .map(|batch| courier.deliver(batch))
        .buffer_unordered(in_flight);
    pin_mut!(deliveries);
    while let Some(delivered) = deliveries.next().await {
        done(delivered?);
    }
    if shutdown.is_requested() {
        return Err(GivenUp::Stopped);
    }
    Ok(())
}

fn show(bar: &ProgressBar, position: &AtomicU64, summary: &Summary) {
    bar.set_position(position.load(Ordering::Relaxed));
    let (rows, refused) = (thousands(summary.rows()), thousands(summary.refused()));
    bar.set_message(format!("{rows} rows, {refused} refused"));
}
