//! Chat completions through the whole surface.
