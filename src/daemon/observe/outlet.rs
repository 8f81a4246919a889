//! How do bytes reach a collector or a file without anybody waiting for it? [`Outlet`]: a bounded queue and a thread.
//!
//! The event loop puts pieces in and never waits: what finds no room is counted and left out. The thread opens, writes, and
//! after a failure opens anew, each time a little later. When the outlet is dropped, the thread writes what is there, and ends.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::frames::{Control, control_length, length};

/// Pieces that may wait.
const PIECES_MAX: usize = 8192;
/// Bytes that may wait.
const BYTES_MAX: usize = 4 << 20;
/// Bytes that are written at once.
const BATCH: usize = 64 << 10;
/// How long after the first failure it is tried again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long at most.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How long a collector may take for anything.
const COLLECTOR_PATIENCE: Duration = Duration::from_secs(5);
/// How long the collector's farewell is waited for.
const FAREWELL_PATIENCE: Duration = Duration::from_millis(300);
/// How long the end of the process waits for a thread.
const END_PATIENCE: Duration = Duration::from_millis(600);
/// Who may read a file of names.
const FILE_MODE: u32 = 0o640;

/// Where pieces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Lines, to where linnetd logs.
    Stderr,
    /// Lines, to the end of a file.
    Lines(PathBuf),
    /// Frames, to a file that begins anew.
    Frames(PathBuf),
    /// Frames, to a collector.
    Unix(PathBuf),
    /// Frames, to a collector.
    Tcp(SocketAddr),
}

/// What has become of the pieces, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct OutletCounts {
    written: AtomicU64,
    left_out: AtomicU64,
    open: AtomicBool,
    trouble: Mutex<Option<String>>,
}

/// What both ends of one queue know.
#[derive(Debug, Default)]
struct Queue {
    waiting_bytes: AtomicUsize,
    dropped: AtomicBool,
    /// Device and inode of the file that is open.
    file: Mutex<Option<(u64, u64)>>,
}

impl OutletCounts {
    /// Returns how many were written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Returns how many were left out.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Whether there is somebody, or a file, to take them.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns why there is nobody.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        self.open.store(trouble.is_none(), Ordering::Relaxed);
        let mut held = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *held = trouble;
    }

    pub(super) fn leave_out(&self, count: u64) {
        self.left_out.fetch_add(count, Ordering::Relaxed);
    }
}

/// The end of the queue where pieces go in.
#[derive(Debug)]
pub(super) struct Outlet {
    target: Target,
    pieces: Option<SyncSender<Vec<u8>>>,
    queue: Arc<Queue>,
    counts: Arc<OutletCounts>,
    ended: Receiver<()>,
}

impl Outlet {
    /// Starts the thread; `counts` go on where an earlier outlet left them.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(target: Target, counts: Arc<OutletCounts>) -> io::Result<Self> {
        let (pieces, waiting) = mpsc::sync_channel(PIECES_MAX);
        let (end, ended) = mpsc::sync_channel(1);
        let queue = Arc::new(Queue::default());
        let writer = Writer {
            target: target.clone(),
            waiting,
            queue: Arc::clone(&queue),
            counts: Arc::clone(&counts),
            stream: None,
            pause: FIRST_PAUSE,
            _end: end,
        };
        std::thread::Builder::new()
            .name("linnetd-tell".to_owned())
            .spawn(move || writer.write())?;
        Ok(Self {
            target,
            pieces: Some(pieces),
            queue,
            counts,
            ended,
        })
    }

    /// Whether it still writes to this target: not when its file was moved away.
    pub(super) fn is_at(&self, target: &Target) -> bool {
        if self.target != *target {
            return false;
        }
        let (Target::Lines(path) | Target::Frames(path)) = target else {
            return true;
        };
        let open = *self
            .queue
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.is_some() && open == place(std::fs::metadata(path))
    }

    /// Lets the thread write what is there, and waits for it, but not for long.
    pub(super) fn end(mut self) {
        self.pieces = None;
        // Either it has ended, or it was given its time.
        let _ended = self.ended.recv_timeout(END_PATIENCE);
    }

    /// Puts a piece in, or leaves it out; never waits.
    pub(super) fn put(&self, piece: Vec<u8>) {
        let Some(pieces) = &self.pieces else {
            return;
        };
        let waiting = &self.queue.waiting_bytes;
        let size = piece.len();
        let fits = waiting.fetch_add(size, Ordering::Relaxed) + size <= BYTES_MAX;
        if !fits || pieces.try_send(piece).is_err() {
            waiting.fetch_sub(size, Ordering::Relaxed);
            self.counts.leave_out(1);
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.queue.dropped.store(true, Ordering::Relaxed);
    }
}

/// Tells a file from any other that has had its path.
fn place(metadata: io::Result<Metadata>) -> Option<(u64, u64)> {
    metadata
        .ok()
        .map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The thread.
struct Writer {
    target: Target,
    waiting: Receiver<Vec<u8>>,
    queue: Arc<Queue>,
    counts: Arc<OutletCounts>,
    stream: Option<Stream>,
    pause: Duration,
    /// Closed with the thread.
    _end: SyncSender<()>,
}

enum Stream {
    File(Box<dyn Write + Send>),
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What the next look at the queue brings.
enum Next {
    Batch(Vec<u8>, u64),
    Nothing,
    Ended,
}

impl Writer {
    fn write(mut self) {
        loop {
            if self.stream.is_none() {
                match self.open() {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        self.pause = FIRST_PAUSE;
                        self.counts.set_trouble(None);
                    }
                    Err(error) => {
                        self.counts.set_trouble(Some(error.to_string()));
                        // Nothing is taken meanwhile: the queue fills, and what is beyond is left out by whoever brings it.
                        if !self.wait() {
                            let lost = self.waiting.iter().count();
                            self.counts
                                .leave_out(u64::try_from(lost).unwrap_or(u64::MAX));
                            return;
                        }
                        continue;
                    }
                }
            }
            let (batch, count) = match self.next() {
                Next::Batch(batch, count) => (batch, count),
                Next::Nothing => continue,
                Next::Ended => {
                    self.close();
                    return;
                }
            };
            let written = match &mut self.stream {
                Some(stream) => stream.write_all(&batch),
                None => continue,
            };
            match written {
                Ok(()) => {
                    self.counts.written.fetch_add(count, Ordering::Relaxed);
                }
                Err(error) => {
                    self.counts.leave_out(count);
                    self.counts.set_trouble(Some(error.to_string()));
                    self.stream = None;
                }
            }
        }
    }

    /// Waits before the next try; returns whether there is still somebody to write for.
    fn wait(&mut self) -> bool {
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of its own waits for nobody else"
        )]
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        !self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Waits for pieces and takes as many as there are, up to a batch.
    fn next(&self) -> Next {
        let first = match self.waiting.recv_timeout(LAST_PAUSE) {
            Ok(piece) => piece,
            Err(RecvTimeoutError::Timeout) => return Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Next::Ended,
        };
        let framed = self.is_framed();
        let mut batch = Vec::with_capacity(first.len() + 4);
        let mut count = 0;
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            let waiting = &self.queue.waiting_bytes;
            waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            if framed {
                batch.extend_from_slice(&length(&bytes));
            }
            batch.extend_from_slice(&bytes);
            count += 1;
            piece = if batch.len() < BATCH {
                self.waiting.try_recv().ok()
            } else {
                None
            };
        }
        Next::Batch(batch, count)
    }

    fn is_framed(&self) -> bool {
        match self.target {
            Target::Stderr | Target::Lines(_) => false,
            Target::Frames(_) | Target::Unix(_) | Target::Tcp(_) => true,
        }
    }

    fn open(&self) -> io::Result<Stream> {
        let mut stream = match &self.target {
            Target::Stderr => return Ok(Stream::File(Box::new(io::stderr()))),
            Target::Lines(path) => {
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(FILE_MODE);
                return self.file(options.open(path)?);
            }
            Target::Frames(path) => {
                let mut options = OpenOptions::new();
                options
                    .write(true)
                    .truncate(true)
                    .create(true)
                    .mode(FILE_MODE);
                self.file(options.open(path)?)?
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(COLLECTOR_PATIENCE))?;
                stream.set_write_timeout(Some(COLLECTOR_PATIENCE))?;
                Stream::Unix(stream)
            }
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, COLLECTOR_PATIENCE)?;
                stream.set_read_timeout(Some(COLLECTOR_PATIENCE))?;
                stream.set_write_timeout(Some(COLLECTOR_PATIENCE))?;
                Stream::Tcp(stream)
            }
        };
        if !matches!(stream, Stream::File(_)) {
            stream.write_all(&Control::Ready.emit())?;
            stream.hear(Control::Accept)?;
        }
        stream.write_all(&Control::Start.emit())?;
        Ok(stream)
    }

    fn file(&self, file: File) -> io::Result<Stream> {
        let metadata = file.metadata()?;
        let mut held = self
            .queue
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = place(Ok(metadata));
        Ok(Stream::File(Box::new(file)))
    }

    /// Says farewell, where that is the custom.
    fn close(&mut self) {
        let framed = self.is_framed();
        let Some(stream) = &mut self.stream else {
            return;
        };
        // Whoever has gone before hears nothing.
        let _said = if framed {
            stream.write_all(&Control::Stop.emit())
        } else {
            Ok(())
        };
        let _heard = match stream {
            Stream::File(file) => file.flush(),
            Stream::Unix(socket) => {
                let _set = socket.set_read_timeout(Some(FAREWELL_PATIENCE));
                stream.hear(Control::Finish)
            }
            Stream::Tcp(socket) => {
                let _set = socket.set_read_timeout(Some(FAREWELL_PATIENCE));
                stream.hear(Control::Finish)
            }
        };
    }
}

impl Stream {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes).and_then(|()| file.flush()),
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }

    /// Reads the control frame that is due.
    fn hear(&mut self, control: Control) -> io::Result<()> {
        let mut head = [0; 8];
        self.read_exact(&mut head)?;
        let length = control_length(head).map_err(io::Error::other)?;
        let mut body = vec![0; length];
        self.read_exact(&mut body)?;
        control.expect(&body).map_err(io::Error::other)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Unix(stream) => stream.read_exact(bytes),
            Self::Tcp(stream) => stream.read_exact(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
