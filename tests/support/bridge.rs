//! Lets who speaks in plain be heard by a server that speaks TLS. What the one side does, the other lives to see: an end is
//! `close_notify` and the end of the stream, and the other way round; a reset is a reset; and nobody is read from for whom the other
//! side does not take, but for one record.
//!
//! TLS is that of rustls with its own buffers, of which the server uses nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, SockRef, Socket, Type};

use crate::PATIENCE;
use crate::tls::NAME;

/// What the bridge's own sockets hold. Whoever does not read is to be noticed as if they were not there.
const SOCKET_BYTES: usize = 16 * 1024;

/// What is read at once, at most: as much as one record carries.
const PIECE_BYTES: usize = 16 * 1024;

/// Whoever connects from here only knocks: all that have connected before have been led on by then.
const KNOCKING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 253);

/// Version 2 of the PROXY protocol begins so.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a server expects before TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// Who has connected to a proxy.
    ProxyProtocol,
}

/// Listens until it is let go of.
pub struct Bridge {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What is known of its threads.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    knocks: AtomicUsize,
    /// How many connections it has.
    crossings: AtomicUsize,
}

impl Bridge {
    /// To this server, in a thread for each connection.
    pub fn to(server: SocketAddr, config: Arc<ClientConfig>, before: Before) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // Inherited by what is accepted.
        socket.set_send_buffer_size(SOCKET_BYTES).unwrap();
        socket.set_recv_buffer_size(SOCKET_BYTES).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(4096).unwrap();
        let listener: TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let known = shared.clone();
        thread::spawn(move || {
            while let Ok((plain, client)) = listener.accept()
                && !known.is_over.load(Ordering::SeqCst)
            {
                if client.ip() == KNOCKING {
                    known.knocks.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                // Here, so that the server meets all in their order.
                let Ok(secured) = reach(server, client.ip()) else {
                    abort(&plain);
                    continue;
                };
                let crossing = Crossing::new(plain, secured, config.clone(), before);
                known.crossings.fetch_add(1, Ordering::SeqCst);
                let known = known.clone();
                thread::spawn(move || {
                    crossing.run();
                    known.crossings.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// Waits until it has only so many connections: what a client does reaches the server a moment later.
    pub fn settle(&self, left: usize) {
        let knocks = self.shared.knocks.load(Ordering::SeqCst);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((KNOCKING, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let began = Instant::now();
        while self.shared.knocks.load(Ordering::SeqCst) == knocks
            || self.shared.crossings.load(Ordering::SeqCst) > left
        {
            assert!(began.elapsed() < PATIENCE, "whoever is gone is still led on");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // It wakes up.
        let _ = TcpStream::connect(self.address);
    }
}

/// Connects to the server as that address.
fn reach(server: SocketAddr, client: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    // It would be given this address anyway, and by that a port that it may share with whoever has another far end.
    if client != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        socket.bind(&SocketAddr::from((client, 0)).into())?;
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

fn abort(socket: &TcpStream) {
    // Not if it is dead already.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// What is spoken with the server.
enum Layer {
    /// What a proxy says, so far.
    Preamble(Vec<u8>, Arc<ClientConfig>),
    Tls(Box<ClientConnection>),
    /// Not what a proxy says: the server will not have it.
    Plain,
}

/// One connection.
struct Crossing {
    plain: TcpStream,
    secured: TcpStream,
    layer: Layer,
    /// For the client, and not taken yet.
    to_plain: Vec<u8>,
    /// In plain for the server, and not taken yet.
    to_secured: Vec<u8>,
    has_heard_all: bool,
    has_told_all: bool,
}

/// Why a connection is over.
enum Over {
    Cleanly,
    /// By a reset, or because it is no TLS.
    Broken,
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl Crossing {
    fn new(plain: TcpStream, secured: TcpStream, config: Arc<ClientConfig>, before: Before) -> Self {
        for socket in [&plain, &secured] {
            socket.set_nonblocking(true).unwrap();
            socket.set_nodelay(true).unwrap();
        }
        let layer = match before {
            Before::Nothing => Layer::tls(config),
            Before::ProxyProtocol => Layer::Preamble(vec![], config),
        };
        Self {
            plain,
            secured,
            layer,
            to_plain: vec![],
            to_secured: vec![],
            has_heard_all: false,
            has_told_all: false,
        }
    }

    /// Until both have ended, or one has been reset.
    fn run(mut self) {
        loop {
            match self.turn() {
                Ok(()) => {}
                Err(Over::Cleanly) => return,
                Err(Over::Broken) => {
                    // What has come still arrives if it is taken.
                    let _ = self.plain.write(&self.to_plain);
                    abort(&self.plain);
                    abort(&self.secured);
                    return;
                }
            }
        }
    }

    fn turn(&mut self) -> Result<(), Over> {
        self.push()?;
        let owes_none = self.to_plain.is_empty() && !self.owes_server();
        if self.has_heard_all && self.has_told_all && owes_none {
            return Err(Over::Cleanly);
        }
        let wanted = |is_wanted, flags| if is_wanted { flags } else { PollFlags::empty() };
        let from_client = wanted(!self.has_told_all && self.may_ask(), PollFlags::IN);
        let to_client = wanted(!self.to_plain.is_empty(), PollFlags::OUT);
        let from_server = wanted(!self.has_heard_all && self.to_plain.is_empty(), PollFlags::IN);
        let to_server = wanted(self.owes_server(), PollFlags::OUT);
        let (plain, secured) = (self.plain.try_clone()?, self.secured.try_clone()?);
        let mut sockets = [
            PollFd::from_borrowed_fd(plain.as_fd(), from_client | to_client),
            PollFd::from_borrowed_fd(secured.as_fd(), from_server | to_server),
        ];
        poll(&mut sockets, None).map_err(io::Error::from)?;
        let [of_plain, of_secured] = sockets.each_ref().map(PollFd::revents);
        if of_plain.contains(PollFlags::ERR) {
            return Err(Over::Broken);
        }
        if of_secured.intersects(PollFlags::IN | PollFlags::ERR) && self.to_plain.is_empty() {
            self.hear()?;
        }
        if of_secured.contains(PollFlags::ERR) {
            return Err(Over::Broken);
        }
        if of_plain.contains(PollFlags::IN) {
            self.tell()?;
        }
        let has_come = of_plain | of_secured;
        if !has_come.intersects(PollFlags::IN | PollFlags::OUT) {
            // One has ended both ways, and says so until the other takes what there is.
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether the client may say more: the server has taken what it has said.
    fn may_ask(&self) -> bool {
        match &self.layer {
            Layer::Tls(tls) => !tls.is_handshaking() && !self.owes_server(),
            _ => !self.owes_server(),
        }
    }

    fn owes_server(&self) -> bool {
        !self.to_secured.is_empty() || matches!(&self.layer, Layer::Tls(tls) if tls.wants_write())
    }

    /// Reads from the client.
    fn tell(&mut self) -> Result<(), Over> {
        let mut piece = [0; PIECE_BYTES];
        // Where TLS begins is not known before.
        let most = if let Layer::Preamble(..) = self.layer { 1 } else { PIECE_BYTES };
        let count = match self.plain.read(&mut piece[..most]) {
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        self.has_told_all = count == 0;
        match &mut self.layer {
            Layer::Tls(tls) if count == 0 => tls.send_close_notify(),
            Layer::Tls(tls) => tls.writer().write_all(&piece[..count])?,
            Layer::Plain | Layer::Preamble(..) => self.to_secured.extend(&piece[..count]),
        }
        if let Layer::Preamble(said, config) = &mut self.layer {
            said.extend(&piece[..count]);
            match ends(said) {
                None => {}
                Some(true) => self.layer = Layer::tls(config.clone()),
                Some(false) => self.layer = Layer::Plain,
            }
        }
        if count == 0 && !self.owes_server() {
            self.secured.shutdown(Shutdown::Write)?;
        }
        self.push()
    }

    /// Reads from the server.
    fn hear(&mut self) -> Result<(), Over> {
        let Layer::Tls(tls) = &mut self.layer else {
            let mut piece = [0; PIECE_BYTES];
            match self.secured.read(&mut piece) {
                Ok(0) => self.end_plain()?,
                Ok(count) => self.to_plain.extend(&piece[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
            return self.push();
        };
        match tls.read_tls(&mut self.secured) {
            // It was not said that it would, to whom nothing could be said yet.
            Ok(0) if tls.is_handshaking() => {
                self.layer = Layer::Plain;
                return self.end_plain();
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        if let Err(why) = tls.process_new_packets() {
            eprintln!("no TLS: {why}");
            return Err(Over::Broken);
        }
        match tls.reader().read_to_end(&mut self.to_plain) {
            Ok(_) => self.end_plain()?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => {
                eprintln!("the stream ends without close_notify: {e}");
                return Err(Over::Broken);
            }
        }
        self.push()
    }

    /// The server has said all.
    fn end_plain(&mut self) -> Result<(), Over> {
        self.has_heard_all = true;
        if self.to_plain.is_empty() {
            self.plain.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Has both take what there is for them.
    fn push(&mut self) -> Result<(), Over> {
        if !self.to_plain.is_empty() {
            write(&mut self.plain, &mut self.to_plain)?;
            if self.to_plain.is_empty() && self.has_heard_all {
                self.plain.shutdown(Shutdown::Write)?;
            }
        }
        if self.owes_server() {
            write(&mut self.secured, &mut self.to_secured)?;
            while let Layer::Tls(tls) = &mut self.layer
                && tls.wants_write()
            {
                match tls.write_tls(&mut self.secured) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e.into()),
                }
            }
            if !self.owes_server() && self.has_told_all {
                self.secured.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }
}

impl Layer {
    fn tls(config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from(NAME).expect("it is one");
        Self::Tls(Box::new(ClientConnection::new(config, name).expect("the configuration is sound")))
    }
}

/// Has the socket take what it takes.
fn write(socket: &mut TcpStream, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match socket.write(unsent) {
            Ok(count) => _ = unsent.drain(..count),
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether what a proxy says has ended with this, or it is nothing that a proxy says.
fn ends(said: &[u8]) -> Option<bool> {
    if let Some(rest) = said.strip_prefix(SIGNATURE) {
        let [_, _, high, low, addresses @ ..] = rest else { return None };
        return (addresses.len() >= usize::from(u16::from_be_bytes([*high, *low]))).then_some(true);
    }
    let line = b"PROXY ";
    match said.starts_with(line) {
        true => said.ends_with(b"\n").then_some(true),
        false if SIGNATURE.starts_with(said) || line.starts_with(said) => None,
        false => Some(false),
    }
}
