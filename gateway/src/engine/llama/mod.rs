//! The in-process engine: llama.cpp behind a scheduler thread. The only user of `llama_cpp_2`.

pub mod constraint;
pub mod output;
pub mod template;
pub mod vocabulary;
