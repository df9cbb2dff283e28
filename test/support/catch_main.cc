// catch_main.cc: the one place that compiles Catch2's own code.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
