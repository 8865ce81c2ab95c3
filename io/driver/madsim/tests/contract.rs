//! Our driver against its contract, among tasks, over many schedules.

use decdn_driver::contract_suite;
use decdn_driver_madsim::{Madsim, on_many_seeds};

contract_suite!(Madsim, on_many_seeds);
