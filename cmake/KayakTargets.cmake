# kayak_library(<folder> DEPS <folders and dep::libs>): all of <folder>'s .cc files as libkayak_<folder>.a.
# Sources are globbed: a new file needs no line here, and CONFIGURE_DEPENDS notices it.
# SMALL: a release is optimised for size, as what the folder does waits for others most of the time. SMALL_PARTS: so are
# those of its files whose path in the folder begins with one of these.
function(kayak_library name)
  cmake_parse_arguments(arg "SMALL" "" "DEPS;PRIVATE_DEPS;SMALL_PARTS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  add_library(kayak_${name} STATIC ${sources})
  target_include_directories(kayak_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(kayak_${name} PUBLIC kayak_settings ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
  if(arg_SMALL AND CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(kayak_${name} PRIVATE -Os)
  endif()
  if(arg_SMALL_PARTS AND CMAKE_BUILD_TYPE STREQUAL "Release")
    list(JOIN arg_SMALL_PARTS "|" begins)
    list(FILTER sources INCLUDE REGEX "/${name}/(${begins})")
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -Os)
  endif()
endfunction()

# kayak_tests(<folder> LABELS ... DEPS ...): test/<folder>/*_test.cc as the program test_<folder>.
function(kayak_tests name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cc ${CMAKE_CURRENT_SOURCE_DIR}/${name}/support_*.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${arg_DEPS} kayak_catch_main)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/test)
  # The libraries under test are as they ship; optimising the tests themselves would double the time of a clean build.
  target_compile_options(test_${name} PRIVATE -O0)
  add_test(NAME ${name} COMMAND test_${name} --use-colour no WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 900) # for what hangs: a busy machine needs many times what an idle one does
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()

# kayak_fuzzer(<name> DEPS ...): test/fuzz/<name>_fuzz.cc as the libFuzzer program fuzz_<name>.
function(kayak_fuzzer name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/test/fuzz/${name}_fuzz.cc)
  target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(fuzz_${name} PRIVATE ${arg_DEPS})
endfunction()
