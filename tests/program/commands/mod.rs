//! The sub-commands: what each prints, and that without one the program serves.

mod check;
mod configuration;
mod ends;
mod health;
mod places;
mod serve;
mod slow;
mod starting;
mod strangers;
mod token;
