/* What a device must be able to do: the C function table of libsfr_cuda, and of the launch shim of the tests.
 * Plain C: no class of one library ever reaches the other. Every function returns 0, or a status that
 * error_text explains. Addresses are device memory unless they are said to be host or pinned memory. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Changes with every change of this file; a library of another version is refused. */
#define SFR_DEVICE_TABLE_VERSION 2
/* Exported by the library: const SfrDeviceTable* sfr_device_table(void). */
#define SFR_DEVICE_TABLE_SYMBOL "sfr_device_table"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  char name[256];
  size_t memory_bytes; /* of the whole card */
  size_t free_bytes;   /* when it was opened */
} SfrDeviceInfo;

/* Memory that the next launches may read, and write unless `writable` is 0. */
typedef struct {
  const void* begin;
  size_t bytes;
  int writable;
} SfrRegion;

typedef struct {
  uint32_t version;
  /* "cuda" or "shim" */
  const char* kind;
  /* Valid until the next call of this thread. */
  const char* (*error_text)(int status);

  /* Device `ordinal` becomes the current one of the calling thread; `info` (unless null) is filled. */
  int (*use)(int ordinal, SfrDeviceInfo* info);
  int (*allocate)(size_t bytes, void** memory);
  int (*release)(void* memory);
  /* Host memory that copies reach without another copy in between. */
  int (*allocate_pinned)(size_t bytes, void** memory);
  int (*release_pinned)(void* memory);

  int (*create_stream)(void** stream);
  int (*destroy_stream)(void* stream);
  /* Waits until everything in the stream is done; tells of what went wrong in it. */
  int (*synchronize)(void* stream);
  /* Between any two of device and pinned memory, in the stream's order. */
  int (*copy)(void* to, const void* from, size_t bytes, void* stream);
  int (*fill)(void* memory, int byte, size_t bytes, void* stream);
  /* Runs a kernel by its name; `args` is its one argument, copied before the call returns. */
  int (*launch)(const char* kernel, const uint32_t grid[3], uint32_t block, const void* args,
                size_t args_bytes, void* stream);

  /* Points in the stream's time. `seconds` from one to a later one, once both have passed. */
  int (*create_event)(void** event);
  int (*destroy_event)(void* event);
  int (*record_event)(void* event, void* stream);
  int (*elapsed)(void* from, void* to, double* seconds);

  /* What comes into the stream from here on is recorded, not run. */
  int (*begin_capture)(void* stream);
  int (*end_capture)(void* stream, void** graph);
  int (*launch_graph)(void* graph, void* stream);
  int (*destroy_graph)(void* graph);

  /* Confines the launches that follow to these regions; count 0 lifts that. Null where nothing can watch. */
  void (*watch)(const SfrRegion* regions, size_t count);
} SfrDeviceTable;

/* F(name) of all functions but watch, in their order: a library with functions of these names has its table.
 */
#define SFR_DEVICE_FUNCTIONS(F)                                                                            \
  F(error_text), F(use), F(allocate), F(release), F(allocate_pinned), F(release_pinned), F(create_stream), \
      F(destroy_stream), F(synchronize), F(copy), F(fill), F(launch), F(create_event), F(destroy_event),   \
      F(record_event), F(elapsed), F(begin_capture), F(end_capture), F(launch_graph), F(destroy_graph)

#ifdef __cplusplus
}
#endif
