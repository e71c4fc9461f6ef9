//! Words and sentences as vectors: what says of a class that nobody has an image of what it is like.
//!
//! [`ClassName`] is what a class is called, with its synonyms. A [`TextSource`] makes a vector of it: from the vectors of its words
//! ([`WordVectors`]) or by an [`Encoder`] of sentences. Both are files of the user's, or published ones that the cache fetches
//! ([`published`]).

mod class_name;
mod encoder;
pub mod published;
mod source;
mod vectors;

pub use class_name::ClassName;
pub use encoder::Encoder;
pub use source::{Described, TextSource, describe};
pub use vectors::WordVectors;
