//! Newcomers connect, publishers publish and subscribers come back while the processes change: nobody is turned away, and
//! nothing is lost, doubled or out of order.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use support::client::Client;
use support::publisher::Publisher;
use support::{LIFETIME, PATIENCE};

use super::crew::Crew;
use super::heard::{Heard, hear};
use crate::process::signal;

const LAST: &str = "the last";

/// Publishers, subscribers and newcomers, all at once.
struct Load {
    address: SocketAddr,
    is_over: AtomicBool,
    /// How often a subscriber had to come back.
    returns: AtomicUsize,
}

impl Load {
    /// Publishes until it is over; a publication that was not answered is asked for again on another connection.
    fn publish(&self, name: usize) -> Vec<Heard> {
        let mut published = vec![];
        let mut publisher: Option<Publisher> = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let text = format!("{name}/{}", published.len());
            let key = format!("Idempotency-Key: {text}\r\n");
            let id = loop {
                let current = publisher.get_or_insert_with(|| Publisher::connect(self.address));
                match current.try_post("/publish", &key, &text) {
                    Ok(answer) if answer.status == 200 => {
                        break answer.json()["id"].as_str().unwrap().to_owned();
                    }
                    Ok(answer) if answer.status != 503 => panic!("{answer:?}"),
                    Ok(_) | Err(_) => publisher = None,
                }
            };
            published.push(Heard { id, text });
        }
        published
    }

    /// Hears everything up to the last; when its connection ends, it comes back behind what it has heard.
    fn subscribe(&self, mut client: Client, first: Heard) -> Vec<Heard> {
        let mut heard = vec![first];
        let began = Instant::now();
        while heard[heard.len() - 1].text != LAST {
            assert!(began.elapsed() < LIFETIME, "the last never comes");
            match client.try_hear() {
                Ok(message) => heard.push(Heard::from(&message)),
                Err(_) => client = self.come_back(&heard[heard.len() - 1].id),
            }
        }
        heard
    }

    fn come_back(&self, id: &str) -> Client {
        loop {
            self.returns.fetch_add(1, Ordering::Relaxed);
            let stream = TcpStream::connect(self.address).expect("never refused");
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // A worker that is killed takes handshakes with it.
            if let Ok(client) = Client::over(stream, &format!("ws://{}/ws?last_event_id={id}", self.address))
            {
                assert_eq!(client.welcome["resumed"], true, "{id}");
                return client;
            }
        }
    }

    /// Connects again and again: every attempt is welcome.
    fn visit(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            Client::join(self.address, "/ws?topic=nothing").leave();
        }
    }
}

/// Lets the threads end, whatever becomes of the test.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Disturbs the server under load, and compares what was answered with what was heard. Gives back how often a subscriber
/// had to come back.
fn under_load(crew: &Crew, visitors: usize, disturb: impl FnOnce()) -> usize {
    let address = crew.address();
    let mut clients: Vec<Client> = (0..4).map(|_| crew.client()).collect();
    Publisher::connect(address).publish("the first");
    let firsts: Vec<Heard> = clients.iter_mut().map(hear).collect();
    let load = Load { address, is_over: AtomicBool::new(false), returns: AtomicUsize::new(0) };
    let (published, stories) = thread::scope(|scope| {
        let (load, over) = (&load, Over(&load.is_over));
        let visitors: Vec<_> = (0..visitors).map(|_| scope.spawn(|| load.visit())).collect();
        let publishers: Vec<_> = (0..2).map(|name| scope.spawn(move || load.publish(name))).collect();
        let subscribers: Vec<_> = std::iter::zip(clients, firsts)
            .map(|(client, first)| scope.spawn(move || load.subscribe(client, first)))
            .collect();
        disturb();
        drop(over);
        visitors.into_iter().for_each(|thread| thread.join().unwrap());
        let published: Vec<Vec<Heard>> =
            publishers.into_iter().map(|thread| thread.join().unwrap()).collect();
        Publisher::connect(address).publish(LAST);
        let stories: Vec<Vec<Heard>> = subscribers.into_iter().map(|thread| thread.join().unwrap()).collect();
        (published, stories)
    });
    let story = &stories[0];
    assert!(stories.iter().all(|other| other == story), "all hear the same");
    for own in &published {
        let mut rest = story.iter();
        assert!(own.iter().all(|one| rest.any(|heard| heard == one)), "all that was answered, in order");
    }
    assert_eq!(story.len(), 2 + published.iter().map(Vec::len).sum::<usize>(), "nothing twice");
    load.returns.into_inner()
}

#[test]
fn hand_overs_lose_no_newcomer_and_no_publication_and_nobody_has_to_come_back() {
    let crew = Crew::start("--workers 2");
    let returns = under_load(&crew, 2, || (0..4).for_each(|_| _ = crew.hand_over()));
    assert_eq!(returns, 0);
    crew.tell("TERM");
    assert_eq!(crew.end().0, Some(0));
}

#[test]
fn workers_that_are_told_to_leave_lose_no_newcomer_and_no_publication() {
    let crew = Crew::start("--workers 2 --timeout-graceful-shutdown 0.3");
    let returns = under_load(&crew, 2, || {
        for round in 1..=2 {
            for number in [1, 2] {
                let old = crew.process(number, round);
                signal(old, "TERM");
                crew.line(&format!("({old}): Server shutdown complete"));
                // Visitors keep coming.
                crew.line(&format!("({}): Client connected", crew.process(number, round + 1)));
            }
        }
    });
    assert!(returns > 0, "somebody had to come back");
}

#[test]
fn killed_workers_lose_and_double_no_publication() {
    let crew = Crew::start("--workers 3");
    let returns = under_load(&crew, 0, || {
        for round in 1..=2 {
            for number in [1, 2, 3] {
                let killed = crew.process(number, round);
                signal(killed, "KILL");
                crew.line(&format!("Worker process {killed} has ended: signal: 9 (SIGKILL)"));
            }
        }
    });
    assert!(returns > 0, "somebody had to come back");
}
