// fuzz-deps: kayak_store
// Rows of the store's log: with a right checksum (the target computes it) whatever decodes encodes to the same bytes.
// The input is a row id (8 bytes, little endian) and the row without its checksum.
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "store/checksum.h"
#include "store/entry.h"

namespace {

using namespace kayak;
using namespace kayak::store;

std::string sealed(RowId row, std::string_view bytes) {
  std::string id, out;
  put_little(&id, static_cast<std::uint64_t>(row), 8);
  put_little(&out, crc32c(crc32c(0, id), bytes), 4);
  return out.append(bytes);
}

void check_row(RowId row, const std::string& bytes) {
  const Result<RowView> view = decode_row(row, bytes);
  if (!view) return;
  ASSERT(view->durable < row_index(row) && decode_durable(row, bytes).value() == view->durable);
  Entry entry;
  entry.index = row_index(row);
  entry.term = view->term;
  entry.revision = view->revision;
  entry.effects.resize(row_ordinal(row) + (view->last ? 1 : 2));
  Effect& effect = entry.effects[row_ordinal(row)];
  effect.type = view->type;
  effect.key = view->key;
  effect.value = std::make_shared<const std::string>(view->value);
  effect.create_revision = view->create_revision;
  effect.version = view->version;
  effect.lease = view->lease;
  effect.previous_row = view->previous_row;
  effect.floor = view->floor;
  effect.ttl = view->ttl;
  effect.membership = view->membership;
  std::string again;
  encode_row(entry, row_ordinal(row), RowContext{view->durable, view->commit}, &again);
  ASSERT(again == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  RowId row = 0;
  std::memcpy(&row, data, sizeof row);
  row &= ~RowId{0xffff0};  // few effects: an entry of a million of them takes its time
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 8, size - 8);
  (void)decode_row(row, bytes);
  (void)decode_durable(row, bytes);
  if (row >= 0) check_row(row, sealed(row, bytes));
  if (const auto identity = decode_identity(sealed(static_cast<RowId>(MetaRow::kIdentity), bytes))) {
    if (identity->format == kFormat) ASSERT(encode_identity(*identity).substr(4) == bytes);
  }
  if (const auto progress = decode_progress(sealed(static_cast<RowId>(MetaRow::kProgress), bytes))) {
    ASSERT(encode_progress(*progress).substr(4) == bytes);
  }
  return 0;
}
