//! The log: lines such as `2026-11-22T12:00:00.000Z [INFO] text` on standard error.
//! Lines are handed on once a turn of the loop, warnings and errors at once.
//! Invariant: writing a line never waits. A standard error that is full, closed or slow loses lines; they are
//! counted, and the first line that gets through again is preceded by their number.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use env_logger::{Builder, Logger, Target};
use jiff::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record};
use socket2::SockRef;

use crate::config::LogLevel;
use crate::wire::metrics::LOG_LINES_LOST;

/// A pipe takes a write of up to this many bytes whole or not at all: PIPE_BUF, pipe(7).
const LONGEST_LINE: usize = 4096;

/// To the beginning of the line, and erase to its end (ECMA-48: CR, EL).
const ERASE_LINE: &[u8] = b"\r\x1b[K";

/// Starts the log. The flag wins over `RUST_LOG`; without either it tells from `info` on. The lines of one of several
/// workers begin with its number and its process.
pub fn start(level: Option<LogLevel>, worker: Option<u32>) {
    let sink = SINK.get_or_init(|| Sink::new(Mutex::new(NeverWaiting::new(Stderr::open())))).clone();
    let coloured =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Info);
    match level {
        Some(level) => _ = builder.filter_level(level.into()),
        None => _ = builder.parse_default_env(),
    }
    builder.target(Target::Pipe(Box::new(Lines(sink.clone()))));
    if let Ok(mut sink) = sink.lock() {
        sink.has_strangers = worker.is_some() && io::stderr().is_terminal();
    }
    let prefix =
        worker.map(|number| format!("worker {number} ({}): ", std::process::id())).unwrap_or_default();
    builder.format(move |line, record| write_line(line, Timestamp::now(), record, coloured, &prefix));
    let logger = builder.build();
    log::set_max_level(logger.filter());
    log::set_boxed_logger(Box::new(TurnByTurn { logger, sink })).expect("the log is started once");
}

fn write_line(
    line: &mut impl Write,
    now: Timestamp,
    record: &Record<'_>,
    coloured: bool,
    prefix: &str,
) -> io::Result<()> {
    let (name, colour) = match record.level() {
        Level::Error => ("ERROR", "\x1b[31m"),
        Level::Warn => ("WARNING", "\x1b[33m"),
        Level::Info => ("INFO", "\x1b[32m"),
        Level::Debug => ("DEBUG", "\x1b[34m"),
        Level::Trace => ("TRACE", "\x1b[2m"),
    };
    let (colour, plain) = if coloured { (colour, "\x1b[0m") } else { ("", "") };
    writeln!(line, "{now:.3} [{colour}{name}{plain}] {prefix}{}", record.args())
}

/// Standard error, such that a write returns at once.
enum Stderr {
    /// A pipe or a terminal, opened once more so as to be non-blocking for us alone, or a file, which never blocks.
    Own(File),
    /// A socket, written with a flag for each write.
    Socket(io::Stderr),
    /// What could not be opened again, made non-blocking for all who share it.
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

/// Hands lines on in chunks of whole ones, or loses them whole and counts them.
struct NeverWaiting<W> {
    inner: W,
    /// Lines of this turn, not handed on yet.
    chunk: Vec<u8>,
    chunk_lines: u64,
    /// On a terminal: the line below the log, and what of it is on the screen.
    status: String,
    drawn: String,
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
            chunk_lines: 0,
            status: String::new(),
            drawn: String::new(),
            has_strangers: false,
            tail: Vec::new(),
            lost_lines: 0,
        }
    }

    /// Takes one line; it is handed on with others, up to as many as a pipe takes at once.
    fn take_line(&mut self, line: &[u8]) {
        // Cut off, it is still a line of its own.
        let line = &line[..line.len().min(LONGEST_LINE - 1)];
        let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
        if self.chunk.len() + line.len() + end.len() > LONGEST_LINE {
            self.hand_over();
        }
        self.chunk.extend([line, end].concat());
        self.chunk_lines += 1;
    }

    /// Hands on what there is.
    fn hand_over(&mut self) {
        self.draw_status();
        let (chunk, lines) = (std::mem::take(&mut self.chunk), std::mem::take(&mut self.chunk_lines));
        if lines > 0 && !(self.finish_tail() && self.confess() && self.write_chunk(&chunk)) {
            self.lost_lines += lines;
            LOG_LINES_LOST.fetch_add(lines, Ordering::Relaxed);
        }
        // One piece of memory for all chunks.
        self.chunk = chunk;
        self.chunk.clear();
    }

    /// Takes the old status off the screen, ahead of the chunk, and puts the new one behind it.
    fn draw_status(&mut self) {
        let is_new = self.status != self.drawn;
        let is_in_the_way = !self.drawn.is_empty() || self.has_strangers;
        if !is_new && (self.chunk_lines == 0 || !is_in_the_way) {
            return;
        }
        if is_in_the_way {
            self.chunk.splice(..0, ERASE_LINE.iter().copied());
        }
        self.chunk.extend(self.status.as_bytes());
        self.chunk_lines = self.chunk_lines.max(1);
        self.drawn.clone_from(&self.status);
    }

    /// Says how many lines were lost before, if any. Whether there is room for more.
    fn confess(&mut self) -> bool {
        if self.lost_lines == 0 {
            return true;
        }
        let (now, lost) = (Timestamp::now(), self.lost_lines);
        let confession =
            format!("{now:.3} [WARNING] {lost} log lines lost: standard error did not take them\n");
        let is_said = self.write_chunk(confession.as_bytes());
        if is_said {
            self.lost_lines = 0;
        }
        is_said && self.tail.is_empty()
    }

    /// Whether the chunk was taken, if not all of it yet.
    fn write_chunk(&mut self, chunk: &[u8]) -> bool {
        let written = self.write_some(chunk);
        if written > 0 {
            self.tail.extend_from_slice(&chunk[written..]);
        }
        written > 0
    }

    fn finish_tail(&mut self) -> bool {
        let tail = std::mem::take(&mut self.tail);
        let written = self.write_some(&tail);
        self.tail = tail[written..].to_vec();
        self.tail.is_empty()
    }

    fn write_some(&mut self, mut bytes: &[u8]) -> usize {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.inner.write(bytes) {
                Ok(0) => break,
                Ok(written) => bytes = &bytes[written..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        whole - bytes.len()
    }
}

/// The one that all lines go through.
type Sink = Arc<Mutex<NeverWaiting<Stderr>>>;

/// There is one standard error, and so there is one sink.
static SINK: OnceLock<Sink> = OnceLock::new();

/// Shows a line below the log, which is redrawn in place; an empty one takes it away. Only on a terminal.
pub fn show_status(status: &str) {
    if io::stderr().is_terminal()
        && let Some(mut sink) = SINK.get().and_then(|sink| sink.lock().ok())
    {
        status.clone_into(&mut sink.status);
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

/// The logger, whose `flush` hands on what a turn of the loop has logged: a line for each of a thousand newcomers is
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
        for line in ["one", "two", "three"] {
            write(&mut log, line);
        }
        log.inner.room = 1000;
        write(&mut log, "four");
        write(&mut log, "five");
        let text = text(&log);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (4, "one"));
        assert!(lines[1].ends_with("[WARNING] 2 log lines lost: standard error did not take them"), "{text}");
        assert_eq!(&lines[2..], ["four", "five"]);
    }

    #[test]
    fn a_line_taken_in_part_is_finished_before_the_next() {
        let mut log = NeverWaiting::new(Narrow { room: 2, ..Narrow::default() });
        write(&mut log, "one");
        write(&mut log, "two");
        log.inner.room = 1000;
        write(&mut log, "three");
        let text = text(&log);
        assert!(text.starts_with("one\n") && text.ends_with("\nthree\n"), "{text}");
        assert!(text.contains("1 log lines lost"), "{text}");
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
        assert_eq!(text(&log).lines().map(str::len).collect::<Vec<_>>(), [LONGEST_LINE - 1, 4]);
    }

    #[test]
    fn a_line_has_its_time_and_level() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let line = |level, coloured| {
            let mut line = vec![];
            let record = Record::builder().level(level).args(format_args!("text")).build();
            write_line(&mut line, now, &record, coloured, "").unwrap();
            String::from_utf8(line).unwrap()
        };
        assert_eq!(line(Level::Info, false), "2026-11-22T12:00:00.000Z [INFO] text\n");
        assert_eq!(line(Level::Warn, false), "2026-11-22T12:00:00.000Z [WARNING] text\n");
        assert_eq!(line(Level::Error, true), "2026-11-22T12:00:00.000Z [\x1b[31mERROR\x1b[0m] text\n");
    }
}
