//! One process hands over to the next while both live: started by SIGHUP, or with the same `--handover`. Clients stay on the
//! same TCP connections; where nothing comes of it, they do not notice either.

mod hangup;
mod rollback;
mod server;
mod service_manager;
