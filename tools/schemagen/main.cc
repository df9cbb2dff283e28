// schemagen: makes the constant tables and the typed views of the API from its .proto files.
// A host program of the build; see src/api/schema/CMakeLists.txt.
// Usage: schemagen DESCRIPTOR_SET OUTPUT_FOLDER
#include <filesystem>
#include <iostream>

#include "model.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: schemagen DESCRIPTOR_SET OUTPUT_FOLDER\n";
    return 2;
  }
  const schemagen::Model model = schemagen::read_model(argv[1]);
  const std::filesystem::path out = argv[2];
  std::filesystem::create_directories(out / "views");
  std::filesystem::create_directories(out / "drafts");
  schemagen::write_if_changed(out / "schema_tables.cc", schemagen::tables_source(model));
  schemagen::write_if_changed(out / "messages.h", schemagen::messages_header(model));
  for (const schemagen::FileModel& file : model.files) {
    schemagen::write_if_changed(out / "views" / (file.stem + ".h"), schemagen::views_header(model, file));
    schemagen::write_if_changed(out / "drafts" / (file.stem + ".h"), schemagen::drafts_header(model, file));
  }
  return 0;
}
