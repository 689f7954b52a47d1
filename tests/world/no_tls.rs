//! In place of `tls` where the program is built without it: nobody speaks it.

use std::collections::VecDeque;

use slackwater::server::transport::Security;

pub fn security() -> Security {
    Security::default()
}

#[derive(Debug)]
pub enum Layer {}

impl Layer {
    pub fn send(&mut self, _: &[u8], _: &mut VecDeque<u8>) {
        match *self {}
    }

    pub fn hear(&mut self, _: &[u8], _: &mut VecDeque<u8>) -> Result<Vec<u8>, &'static str> {
        match *self {}
    }
}
