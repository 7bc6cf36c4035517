//! Loading, planning and the reference models, over folders and tables made here.

mod loading;
mod planning;
mod reference;
mod speed;
