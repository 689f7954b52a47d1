//! Slackwater: a small self-hosted real-time notification server that can be redeployed without its clients
//! noticing. Many mostly idle clients hold a WebSocket or an event stream open, hear every notification once, in order, and are let go
//! gently when the server stops. One process is one thread: a mio poll loop that owns a slab of connections. Several
//! processes are several of these, and a supervisor that serves nobody. Several machines are one server where they share an engine,
//! a Redis or Valkey that gives the order.
//!
//! # The rooms, in reading order
//!
//! | room | what it does | what may not enter |
//! |---|---|---|
//! | [`frame`] | one encoded frame, shared by all who are sent it | |
//! | [`message`] | one message to all, and its encodings | |
//! | [`policy`] | decides | sockets, clocks, files, logging |
//! | [`wire`] | speaks: bytes in, bytes out | sockets, clocks, logging |
//! | [`http`] | answers: which request does what, and who may ask | sockets, clocks, files, logging |
//! | [`server`] | moves bytes: mio, sockets, the one reading of the clock | processes, signals' meaning |
//! | [`process`] | lives and dies: the log, the start, the exit code, other processes | |
//!
//! `main → process → server → http → wire → policy → message → frame`: an arrow means "may use", and none points back.
//! [`config`], [`ffi`] and [`proc_stat`] are leaves that `process` and `server` use; `http` uses nothing of them but the
//! types of the token and of allowed origins. `tests/architecture.rs` keeps these arrows. Within `policy`, `wire` and `http` no files use each other in a
//! circle.
//!
//! # Where things are
//!
//! * Who hears what, once and in order: [`policy::hub`]. The order itself: [`policy::sequencer`]. What was missed:
//!   [`policy::history`] keeps it, [`policy::replay`] brings it. Hub and history advance together in [`policy::feed`].
//! * Which id a position has, where several epochs follow each other: [`policy::epochs`]. How the order goes on where that is
//!   not with the next publication: [`policy::line`]; what clients are told of it: `server::peers::gaps`.
//! * Up to when all that had arrived has been read, so that nobody is cut by a later time: [`policy::heard`].
//! * When a leaving server may exit, and each line it logs on the way: [`policy::drain`]. When each client is
//!   asked to reconnect, then or because its connection is old: [`policy::reconnect_notices`]. What a server does at each step: [`server::turn`].
//! * Handing everything over to another process: [`policy::handover`] says which step is next, [`wire::handover`] how all of it is
//!   written; `moving` in [`server::turn`], [`server::peers`] and [`server::connection`] packs it and goes on from it;
//!   [`server::handover`] does it, and [`process::handover`] starts the successor (as [`process::detached`], nobody's child) and finds the predecessor. With workers on either
//!   side: [`policy::handover::crew`] has all of them stop, move and part at once; a worker does so in `server::turn::holding` and
//!   `server::handover::share`, a supervisor in `process::crew::moving`, `process::supervisor::giving` and `taking`.
//!   Sessions of TLS go along: [`wire::handover::secured`] is how, and `server::secured::moving` who does it.
//! * Leaving everything with the service manager for the next start: [`policy::parking`] says when, [`wire::handover::parked`] what is left;
//!   [`server::handover::bundle`] leaves it, and [`process::parking`] finds it again; a supervisor does so in
//!   `process::supervisor::parking` and `taking_up`.
//! * Which worker processes there should be, and when one has to go: [`policy::roster`]. What is seen of one that does not
//!   answer: [`process::sight`], by [`proc_stat`].
//! * RFC 6455: [`wire::websocket`], on tungstenite's frame headers. RFC 7692, the compression of messages: agreed on in
//!   [`wire::extensions`], done by [`wire::deflate`]. HTTP/1.1: [`wire::request_buffer`] finds a request;
//!   [`wire::head`], [`wire::request`], [`wire::target`], [`wire::body`] and [`wire::upgrade`] read it.
//! * What operators read: [`http::report`], from [`wire::overview`]; what has happened lately in it, from [`policy::lately`]; a supervisor asks its
//!   workers for it in `server::relay::inquiries`. Who the clients are: `server::peers::register`, and page by page [`wire::connections`]. What publishers send: [`wire::publish`], and
//!   what is said of what is wrong with it: `wire::publish::fault`. What outlives
//!   the process: [`wire::snapshot`].
//! * What makes a retry harmless: [`policy::idempotency`]; checked by [`server::order::ledger`], before anything is positioned.
//! * Which request does what: [`http::routes`]. Who may publish, make the server leave and look at its numbers:
//!   [`http::access`]. Which pages may listen and publish: [`http::origin`]; what the log says of the others:
//!   [`policy::mentions`]. What is a name of this machine: [`http::host`]. The token: [`config::secret`], [`process::secrets`].
//! * What becomes of whoever comes by plain HTTP: [`http::redirect`], and for certificate authorities [`http::challenge`], from
//!   [`server::webroot`].
//! * How much one address may take: [`policy::addresses`], by [`policy::rate`]; counted in `server::peers::addressing`.
//! * Who is held back for sending too much: [`policy::message_limit`], in `server::peers::held_back`. What was read of a client that
//!   has to wait: `server::peers::unheard`.
//! * Whose a request is that a proxy has forwarded: [`http::forwarded`]; whose a connection, [`wire::proxy_protocol`].
//! * Who else may hear and publish what: [`http::auth`], by tokens that [`http::token`] verifies with [`http::keys`]; what they
//!   grant: [`policy::rights`]; when they expire: [`policy::expiries`]. Where the keys come from: [`server::key_file`], and how files are seen to change: [`server::watch`]. Where a
//!   request carries its token: [`http::credentials`].
//! * The engine of several machines: [`policy::engine`] says what is asked of it next, when it counts as gone and when to try again,
//!   and within that [`policy::engine::cursor`] what the next entry of its stream is: the next publication, another epoch, or a hole.
//!   Keys, scripts and entries: [`wire::engine`]. [`server::engine`] does it, by connections that [`server::engine::dial`] opens, by TLS in `server::tls_client` if they are to be, with
//!   whom `server::engine::security` trusts. How
//!   positions here become ids of several epochs, and which id is lost: [`policy::epochs`], with the publications in
//!   [`policy::line`]. Clients are told of a gap in `server::peers::gaps`.
//! * RESP, the protocol of Redis and Valkey: [`wire::resp`]; replies in [`wire::resp::decoder`], commands in [`wire::resp::command`].
//! * TLS 1.2 and 1.3, a server's side and a client's: `wire::tls`, by rustls for the handshake, and a server's by records of its own
//!   from then on. What the bytes of a peer travel over: [`server::transport`]; TLS on a socket: `server::secured`. How many handshakes
//!   a turn has time for, and how many may be under way: `server::peers::handshakes`.
//!   Which certificate is shown, and when it is read again: `server::certificate`; what session tickets are made by:
//!   [`server::ticket_secret`].
//! * The event-stream format: [`wire::event_stream`], in chunks by [`wire::chunk`]; a connection that is one: `server::connection::streaming`, and what it is
//!   told: `server::peers::streaming`.
//! * Everything that waits to be written: [`wire::outbox`]. Every way to end: [`wire::ending`].
//! * The loop: [`server`]. A turn of it: [`server::turn`]. One peer: [`server::connection`]. All of them: [`server::peers`].
//!   What is listened on: [`server::bound_socket`]; who is accepted there: `server::doors`, by one of [`http::door`]. Who gives publications their ids: [`server::order`]. What peers ask of
//!   it: [`server::question`].
//! * Several workers: [`process::crew`] says which to start, replace and end, and [`process::supervisor`] does it.
//!   [`server::relay`] is their half of publishing and [`server::order::upstream`] a worker's, [`wire::link`] what they
//!   say to each other.
//! * Where the engine is, and how it is used: [`config::engine`].
//! * Every flag, its environment variable and its bounds: [`config`]. Which sub-command is asked for: [`config::command`]; what
//!   those do that do not serve: [`process::commands`], a file for each. Where the server is that `publish` and
//!   `listen` speak to: [`config::command::reach`], and how it is reached: `process::commands::far_end`. Who makes tokens: [`http::minting`]. Which of
//!   arguments, variables and the configuration file counts: `config::reading`; how the file is written: [`config::file`], and who opens
//!   it: [`process::config_file`]. Where each value was given, for what is said of it: [`config::sources`]. Which variables are
//!   unknown: [`config::variables`]. How a refusal is said: [`process::refusal`]. What of a changed file does not count at a reload:
//!   [`process::former`].
//! * What is said about a configuration, whoever says it: [`process::remarks`], and of its files [`process::secrets`]. What is
//!   dangerous about it: [`process::dangers`]. Where a server would listen:
//!   [`server::prospect`]. What keeps it from starting though each value is in order: [`process::contradictions`].
//!
//! # The turn
//!
//! ```text
//! handle       ready sockets, signals, what the supervisor says; then newcomers   → memory only
//! poll         due deadlines: notification, sweep, clients that have not reconnected, memory to give back
//!              settle: flush what is dirty, one slice of the fan-out, a piece of each replay; bury the ended
//!              drain.poll(now, clients) until None
//!              → an effect: log a step, leave the state, stop accepting, end
//! next_timeout until when to sleep
//! ```
//!
//! [`server::turn::Turn`] knows no poll, no listener and no file. The loop around it sleeps, accepts and performs the
//! effects; in tests a simulated world does.
//!
//! 1. Only `settle` writes to peers: nobody can forget to arm anything, and publishing never re-enters.
//! 2. Only `settle` removes connections: within one batch of events a slab key cannot change its owner.
//! 3. The loop never sleeps on unfinished work: read, accept and flush budgets, an unfinished fan-out and what a
//!    paused peer left unread all make the timeout zero. Nothing else does.
//! 4. The clocks are read once per turn, and what needs the time is handed it. The steady one is looked at again when the
//!    turn has ended, to tell how long it took. The log is handed on by the loop, too.
//! 5. Before a limit of a peer is applied, all is read that had arrived when it was reached: after a long sleep, a full
//!    batch of events or an interrupted call, the loop looks for events again.
//!
//! The supervisor's turn is the same: [`process::crew::Crew`] is handed what has come, says step by step what is to be done,
//! and settles with the workers. What a worker had no room for is written as soon as it has some, while it is handed that.
//!
//! Sockets are registered once for both directions. mio is edge-triggered, so they are read until they would block or
//! the budget is used up, and a broadcast to idle clients causes no event.
//!
//! # Who owns what
//!
//! ```text
//! Server                       the only owner of its Poll; nothing else ever sees it
//! ├─ doors                     the clients', and that of those who are redirected to it: closed once draining, and before a
//! │                            worker may serve; the operators': open until the end
//! ├─ controls                  signals and the in-process handle
//! ├─ lookout                   the files that may change: keys of tokens, the certificate, what tickets are made by
//! ├─ dialer: Option            opens the connections to the engine; the order owns them
//! ├─ succession               who may take over from this process, and how far that is
//! └─ turn
//!    ├─ drain                  when to stop accepting, when to end
//!    ├─ order                  of the publications, or the way to whoever keeps it: a supervisor, or an engine
//!    └─ peers
//!       ├─ connections: Slab   key + offset = mio Token
//!       ├─ feed                what is still to be heard, and what was heard lately
//!       ├─ waiting             what was asked of the order and of the turn, and for whom
//!       ├─ mode                how far the server has left
//!       ├─ notices             when each client is to reconnect: once it leaves, or by the age of its connection
//!       ├─ addresses: Option   how many connections each address has, where that is limited
//!       ├─ counts              plain numbers, counted where things happen: who is here, too
//!       ├─ reports             what strangers were told lately, and of the drain
//!       ├─ scratch             64 KiB: the only read buffer in the process
//!       ├─ compressor          and inflater: one of each for all clients, once one of them needs it
//!       ├─ unheard             what was read of clients that have to wait
//!       ├─ handshakes          of TLS: those under way, and how many this turn has gone on with
//!       ├─ agenda              who is to be flushed, read on or replayed to, though no event will say so
//!       └─ upkeep              when limits are looked at next, and when memory is given back
//!
//! Supervisor                   the only owner of its Poll
//! ├─ listeners                 one for each slot, whoever works there; closed once draining
//! ├─ children                  the processes of the workers
//! ├─ lines                     to each of them one, through which it is sent descriptors
//! ├─ state_file: Option        what a successor goes on with
//! ├─ giving, taking: Option    the process that takes over, or hands over
//! ├─ dialer: Option            as a server's
//! └─ crew                      knows no poll and no process
//!    ├─ roster                 which workers there should be, and the drain
//!    └─ relay                  the order, or the way to the engine; the history, and a socket pair to each worker
//! ```
//!
//! # How a publication travels
//!
//! A request's body becomes drafts, all of them checked before any is positioned. The order gives each its id; the
//! message becomes JSON once; history keeps it, and the hub lists the channels where it is pending. What a peer is sent of
//! it is derived when the first is sent it, and shared by all whose wire takes the same: [`message`]. Each turn
//! visits a slice of their subscribers. A subscriber carries one number, the position up to which it has heard: a visit
//! hands it everything beyond, in one write, and a second visit does no harm. A client that comes back reads history from
//! its own position at its own pace, and becomes an ordinary subscriber when it has reached the newest. So does one that
//! takes what comes, but not as fast.
//!
//! With several workers the drafts travel up to the supervisor, which positions and encodes them and sends the octets to
//! all workers alike, in one batch a turn; the publisher is answered once the ids have come back. Since every worker
//! hears the same publications in the same order, a client may resume on any of them. One that has heard something
//! elsewhere which is still on its way here is answered behind it: the worker asks the supervisor for a mark in the
//! stream, and waits for that. Nobody waits for a worker that takes nothing: it is replaced.
//!
//! With several machines the single process, or the supervisor, appends the drafts to the engine's stream, which gives them their
//! ids, and answers the publisher when the engine has. Nothing is heard before it comes back by a second connection, also where it was
//! published: so all machines hear one order, and from there on everything is as above. The two connections come and go together; an
//! answer of earlier ones is never taken for one of later ones. Within a machine positions go on growing by one whatever becomes of
//! the engine. Outside, an id has the epoch of the engine in front, and each restart and each failover begins another, which names the
//! last id before it: what was heard beyond that is taken back from the history, and everyone is told of the gap.
//!
//! # Invariants of the wire
//!
//! * What a peer has begun to receive it receives whole, or nothing more at all.
//! * A peer that breaks a rule is told so in a close frame before TCP closes, and TCP closes behind it, not over it.
//! * Every limit has an outcome, and each is in the catalogue of [`wire::ending::Ending`] or
//!   [`wire::refusal::Refusal`]. No input reaches a panic; no announcement of a length reserves memory.
//! * An idle WebSocket or event stream owns no heap beyond its slot in the slab.
//!
//! # Deliberately absent
//!
//! * An async runtime, threads, locks: one thread owns everything of its process, so nothing is shared. The one exception looks up the
//!   name of an engine, for the system's resolver can only be waited for; it shares nothing but two channels.
//! * tungstenite's `WebSocket`: its context sends no close frame for a violation, reserves what a header announces,
//!   and keeps a read buffer for each connection. Its frame headers and codes are what is used here.
//! * HTTP/2 and HTTP/3, which have WebSockets of another kind (RFC 8441, RFC 9220): a proxy in front speaks these. TLS with early
//!   data, renegotiation or certificates of clients.
//! * Compression from one message to the next: it would take a window for each client, and compress for each anew.
//! * Shared memory between processes: what workers have in common they are told.
//! * `unsafe`, but for what [`ffi`] holds: owning an inherited descriptor, handing free memory back, asking what a peer has
//!   not taken, and signals that were blocked or are to be ignored.

pub mod config;
pub mod ffi;
pub mod frame;
pub mod http;
pub mod message;
pub mod policy;
pub mod proc_stat;
pub mod process;
pub mod server;
pub mod wire;
