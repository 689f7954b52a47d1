//! The log: lines on standard error, whose layout is in `line`.
//! Lines are handed on when the loop says so, warnings and errors at once.
//! Invariant: writing a line never waits. A standard error that is full, closed or slow loses lines; they are
//! counted, and the first line that gets through again is preceded by their number.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use env_logger::{Builder, Logger, Target};
use jiff::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record, error};
use socket2::SockRef;

use crate::config::{LogFormat, LogLevel};
use crate::server::log_pace::LINES_WAIT;
use crate::wire::metrics::LOG_LINES_LOST;
use line::Layout;

mod line;

/// A pipe takes a write of up to this many bytes whole or not at all: PIPE_BUF, pipe(7).
const WHOLE_OR_NOT: usize = 4096;

/// Lines are handed on in chunks of so much, the longest line included; beside them there is room to say what was lost.
const CHUNK_BYTES: usize = WHOLE_OR_NOT - 128;

/// To the beginning of the line, and erase to its end (ECMA-48: CR, EL).
const ERASE_LINE: &[u8] = b"\r\x1b[K";

/// Starts the log. The flag wins over `RUST_LOG`; without either it tells from `info` on. The lines of one of several
/// workers begin with its number and its process.
pub fn start(level: Option<LogLevel>, format: LogFormat, worker: Option<u32>) {
    let sink = SINK.get_or_init(|| Sink::new(Mutex::new(NeverWaiting::new(Stderr::open())))).clone();
    let is_for_people = format == LogFormat::Text && io::stderr().is_terminal();
    let is_coloured = is_for_people && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let layout = Layout { format, is_coloured, worker, most_bytes: CHUNK_BYTES };
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Info);
    match level {
        Some(level) => _ = builder.filter_level(level.into()),
        None => _ = builder.parse_default_env(),
    }
    builder.target(Target::Pipe(Box::new(Lines(sink.clone()))));
    if let Ok(mut sink) = sink.lock() {
        sink.has_strangers = worker.is_some() && is_for_people;
        sink.layout = layout;
    }
    builder.format(move |line, record| layout.write(line, Timestamp::now(), record));
    let logger = builder.build();
    log::set_max_level(logger.filter());
    log::set_boxed_logger(Box::new(TurnByTurn { logger, sink })).expect("the log is started once");
    if format == LogFormat::Json {
        // Otherwise it would be several lines, and no object.
        std::panic::set_hook(Box::new(|panic| error!("{panic}")));
    }
}

/// Standard error, such that a write returns at once.
enum Stderr {
    /// A pipe or a terminal, opened once more so as to be non-blocking for us alone, or a file, which never blocks.
    Own(File),
    /// A socket, written with a flag for each write.
    Socket(io::Stderr),
    /// What could not be opened again, made non-blocking for all that share it.
    Shared(io::Stderr),
}

impl Stderr {
    fn open() -> Self {
        let stderr = io::stderr();
        let Ok(file) = stderr.as_fd().try_clone_to_owned().map(File::from) else {
            return Self::Shared(stderr);
        };
        match file.metadata().map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_file() => Self::Own(file),
            Ok(kind) if kind.is_socket() => Self::Socket(stderr),
            _ => match reopen(&file) {
                Ok(own) => Self::Own(own),
                Err(_) => {
                    let _ = SockRef::from(&stderr).set_nonblocking(true);
                    Self::Shared(stderr)
                }
            },
        }
    }
}

/// The same pipe or terminal through an open file description of our own (open(2)), whose flags are ours.
fn reopen(file: &File) -> io::Result<File> {
    let own = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open("/proc/self/fd/2")?;
    let (theirs, ours) = (file.metadata()?, own.metadata()?);
    if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
        Ok(own)
    } else {
        Err(io::ErrorKind::Other.into())
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Own(file) => file.write(bytes),
            Self::Socket(stderr) => SockRef::from(&*stderr).send_with_flags(bytes, libc::MSG_DONTWAIT),
            Self::Shared(stderr) => stderr.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands lines on in chunks of whole ones; what finds no room is lost whole, and counted.
struct NeverWaiting<W> {
    inner: W,
    /// Lines of this turn, not handed on yet.
    chunk: Vec<u8>,
    /// On a terminal: the line below the log, and what of it is on the screen.
    status: String,
    drawn: String,
    /// How it says what was lost.
    layout: Layout,
    /// Whether another process may have drawn a status on the same terminal.
    has_strangers: bool,
    /// What is still to be written of a chunk that a terminal or a socket took in part.
    tail: Vec<u8>,
    lost_lines: u64,
}

impl<W: Write> NeverWaiting<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            chunk: Vec::new(),
            status: String::new(),
            drawn: String::new(),
            layout: Layout::default(),
            has_strangers: false,
            tail: Vec::new(),
            lost_lines: 0,
        }
    }

    /// Takes one line; it is handed on with others, up to as many as a pipe takes at once.
    fn take_line(&mut self, line: &[u8]) {
        // Cut off, it is still a line of its own.
        let line = &line[..line.len().min(CHUNK_BYTES - 1)];
        let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
        let has_room = |chunk: &Vec<u8>| chunk.len() + line.len() + end.len() <= CHUNK_BYTES;
        if !has_room(&self.chunk) {
            self.hand_over();
        }
        if has_room(&self.chunk) {
            self.chunk.extend_from_slice(line);
            self.chunk.extend_from_slice(end);
            LINES_WAIT.store(true, Ordering::Relaxed);
        } else {
            self.lost_lines += 1;
            LOG_LINES_LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands on what there is, or keeps it for the next time: where several processes share a terminal, each meets it
    /// busy now and then.
    fn hand_over(&mut self) {
        if self.chunk.is_empty() && self.status == self.drawn || !self.finish_tail() {
            return;
        }
        let is_in_the_way = !self.drawn.is_empty() || self.has_strangers;
        let chunk = if is_in_the_way || !self.status.is_empty() || self.lost_lines > 0 {
            let erase = if is_in_the_way { ERASE_LINE } else { b"" };
            Cow::Owned([erase, &self.lost_lines_notice(), &self.chunk, self.status.as_bytes()].concat())
        } else {
            Cow::Borrowed(&self.chunk[..])
        };
        let written = write_some(&mut self.inner, &chunk);
        if written > 0 {
            self.tail.extend_from_slice(&chunk[written..]);
            self.chunk.clear();
            self.lost_lines = 0;
            self.drawn.clone_from(&self.status);
            LINES_WAIT.store(false, Ordering::Relaxed);
        }
    }

    /// Says how many lines were lost before, if any: in the write of the next that is not, or it would fill the room for it.
    fn lost_lines_notice(&self) -> Vec<u8> {
        if self.lost_lines == 0 { vec![] } else { self.layout.lost(Timestamp::now(), self.lost_lines) }
    }

    fn finish_tail(&mut self) -> bool {
        let written = write_some(&mut self.inner, &self.tail);
        self.tail.drain(..written);
        self.tail.is_empty()
    }
}

fn write_some(inner: &mut impl Write, mut bytes: &[u8]) -> usize {
    let whole = bytes.len();
    while !bytes.is_empty() {
        match inner.write(bytes) {
            Ok(0) => break,
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    whole - bytes.len()
}

/// The one that all lines go through.
type Sink = Arc<Mutex<NeverWaiting<Stderr>>>;

/// There is one standard error, and so there is one sink.
static SINK: OnceLock<Sink> = OnceLock::new();

/// Shows a line below the log, which is redrawn in place; an empty one takes it away. Only on a terminal, and to people.
pub fn show_status(status: &str) {
    if io::stderr().is_terminal()
        && let Some(mut sink) = SINK.get().and_then(|sink| sink.lock().ok())
        && sink.layout.format == LogFormat::Text
    {
        status.clone_into(&mut sink.status);
        LINES_WAIT.store(true, Ordering::Relaxed);
    }
}

/// Where the logger writes: one formatted line at a time.
struct Lines(Sink);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Ok(mut sink) = self.0.lock() {
            sink.take_line(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The logger, whose `flush` hands on what has been logged since the last: a line for each of a thousand newcomers is
/// not a write for each. Warnings and errors go at once.
struct TurnByTurn {
    logger: Logger,
    sink: Sink,
}

impl Log for TurnByTurn {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.logger.log(record);
        if record.level() <= Level::Warn {
            self.flush();
        }
    }

    fn flush(&self) {
        if let Ok(mut sink) = self.sink.lock() {
            sink.hand_over();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A standard error with room for so many bytes.
    #[derive(Default)]
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A turn that logs one line.
    fn write(log: &mut NeverWaiting<Narrow>, line: &str) {
        log.take_line(format!("{line}\n").as_bytes());
        log.hand_over();
    }

    fn text(log: &NeverWaiting<Narrow>) -> String {
        String::from_utf8(log.inner.taken.clone()).unwrap()
    }

    #[test]
    fn lost_lines_are_counted_and_said_once_it_works_again() {
        let mut log = NeverWaiting::new(Narrow { room: 4, ..Narrow::default() });
        write(&mut log, "one");
        let long = "x".repeat(CHUNK_BYTES - 1);
        for line in [long.as_str(), "two", "three"] {
            write(&mut log, line);
        }
        log.inner.room = 10_000;
        write(&mut log, "four");
        write(&mut log, "five");
        let text = text(&log);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (5, "one"));
        assert!(lines[1].ends_with("[WARNING] 2 log lines lost: standard error did not take them"), "{text}");
        assert_eq!(&lines[2..], [long.as_str(), "four", "five"]);
    }

    #[test]
    fn a_line_taken_in_part_is_finished_before_the_next() {
        let mut log = NeverWaiting::new(Narrow { room: 2, ..Narrow::default() });
        write(&mut log, "one");
        write(&mut log, "two");
        log.inner.room = 1000;
        write(&mut log, "three");
        assert_eq!(text(&log), "one\ntwo\nthree\n");
    }

    #[test]
    fn the_status_stays_below_the_log_and_goes_without_a_trace() {
        let mut log = NeverWaiting::new(Narrow { room: 1000, ..Narrow::default() });
        log.status = "half".to_owned();
        log.hand_over();
        log.hand_over();
        write(&mut log, "one");
        log.status.clear();
        log.hand_over();
        write(&mut log, "two");
        assert_eq!(text(&log), "half\r\x1b[Kone\nhalf\r\x1b[Ktwo\n");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut log = NeverWaiting::new(Narrow { room: 100_000, ..Narrow::default() });
        write(&mut log, &"x".repeat(10_000));
        write(&mut log, "next");
        assert_eq!(text(&log).lines().map(str::len).collect::<Vec<_>>(), [CHUNK_BYTES - 1, 4]);
    }
}
