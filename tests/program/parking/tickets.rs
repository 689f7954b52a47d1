//! Session tickets are made by the same at the next start.

use super::server::Service;
use crate::visitor::{Visitor, flags, issue};

#[test]
fn clients_resume_at_the_next_start_of_however_many_workers() {
    let folder = tempfile::tempdir().unwrap();
    let visitor = Visitor::trusting(issue(folder.path()));
    let flags = |workers: u16| format!("{} --workers {workers}", flags(folder.path()));
    let mut service = Service::start(&flags(1));
    assert!(!visitor.resumes(service.address()));
    for workers in [2, 2, 1, 1] {
        service.flags = flags(workers);
        service.restart();
        assert!((0..4).all(|_| visitor.resumes(service.address())), "{workers}");
    }
}
