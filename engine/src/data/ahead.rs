//! The next batch, prepared while the last one is learnt from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};

use super::batch::Batch;
use super::position::Position;
use super::reader::Reader;

/// A batch, whether it continues the one before, and where the reader stands after it.
type Prepared = Result<(Batch, bool, Position)>;

/// A reader that is here, or on a thread of its own.
#[derive(Debug)]
pub(super) struct Ahead {
    here: Option<Box<Reader>>,
    away: Option<Away>,
}

/// A reader that prepares a batch.
#[derive(Debug)]
struct Away {
    rows: usize,
    /// Ends it when set.
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Box<Reader>, Prepared)>,
}

impl Ahead {
    pub(super) fn new(reader: Reader) -> Self {
        Self { here: Some(Box::new(reader)), away: None }
    }

    /// The batch after the position `now`; with `prepares` the one after it is begun.
    ///
    /// # Errors
    /// When it could not be made.
    pub(super) fn take(&mut self, rows: usize, now: &Position, prepares: bool) -> Prepared {
        let mut prepared = None;
        if let Some(away) = self.away.take() {
            // Other rows than expected: what is being prepared is of no use.
            let wanted = away.rows == rows;
            let (mut reader, outcome) = away.end(!wanted)?;
            if !wanted {
                reader.go_to(now.clone());
            }
            self.here = Some(reader);
            prepared = wanted.then_some(outcome);
        }
        let mut reader = self.here.take().context("this data set has failed; open it again.")?;
        let prepared = prepared.unwrap_or_else(|| prepare(&mut reader, rows));
        match prepares && prepared.is_ok() {
            true => self.away = Some(Away::send(reader, rows)),
            false => self.here = Some(reader),
        }
        prepared
    }
}

impl Away {
    fn send(mut reader: Box<Reader>, rows: usize) -> Self {
        let stop = reader.stop.clone();
        let work = move || {
            let prepared = prepare(&mut reader, rows);
            (reader, prepared)
        };
        Self { rows, stop, thread: std::thread::spawn(work) }
    }

    /// Waits for what is prepared, or has it stopped.
    fn end(self, stop: bool) -> Result<(Box<Reader>, Prepared)> {
        self.stop.store(stop, Ordering::Relaxed);
        let ended = self.thread.join();
        self.stop.store(false, Ordering::Relaxed);
        ended
            .map_err(|_| anyhow!("the thread that prepares batches has died; open the data again."))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(away) = self.away.take() {
            // Nobody is left to be told.
            let _ = away.end(true);
        }
    }
}

fn prepare(reader: &mut Reader, rows: usize) -> Prepared {
    let (batch, continues) = reader.batch(rows)?;
    Ok((batch, continues, reader.at.clone()))
}
