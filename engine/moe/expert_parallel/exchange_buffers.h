#pragma once

#include "comm/collectives/hierarchical_all_to_all_v.h"
#include "engine/moe/expert_parallel/host_table.h"
#include "engine/moe/expert_parallel/slot_table.h"
#include "kernels/core/tensor.h"

namespace moe {

// Memory of exchanges, which grows to what they need (any number of rows may
// choose one rank's experts). Shared by the layers of a model, as they run one
// after the other; used by one dispatch at a time. Bounds: exchange_bound.h.
struct ExchangeBuffers {
  Tensor gathered;  // rows of all data ranks of a slice group
  Tensor packed;    // rows to be sent
  Tensor received;  // rows that came in
  Tensor results;   // of this rank's rows
  // Rows between the two exchanges of one that is made of two; a coordinated
  // return uses the first.
  HierarchicalScratch in_transit;
  SlotTable gathered_table;
  SlotTable received_table;

  HostTable source_offsets;
  HostTable received_offsets;
  HostTable received_rows;
  HostTable local_offsets;
  HostTable fetched_slot_of;
  HostTable own_slot_of;
};

}  // namespace moe
