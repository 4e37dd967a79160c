/** The running processes at the start → both process tables. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ingest } from '../../../../collector/ingest/ingest.ts'
import type { IngestOptions } from '../../../../collector/ingest/ingest.ts'
import { Folder } from '../../exporters/support/folder.ts'
import { statOf, write } from '../support/procfs.ts'

test('scan: a process that ends before it is entered stays in neither table, also while its parent has not waited for it', async () => {
  using folder = new Folder()
  for (const pid of [1, 2, 3]) write(folder.path, { pid, parent: pid === 1 ? 0 : 1 })
  const entered = new Set<number>()
  const kernel = {
    ring: { malformed: () => 0 },
    counts: () => ({ taken: 0, counters: { ring_full_process: 0, process_map_full: 0 }, programs: new Map() }),
    seedProcess: (pid: number) => {
      if (pid === 2) writeFileSync(folder.at('2/stat'), statOf({ pid, parent: 1, state: 'Z' }))
      return entered.add(pid) !== undefined
    },
    forgetProcess: (pid: number) => entered.delete(pid),
    seedImages: () => {},
  }
  const config = {
    procfs: folder.path,
    memory: { process_table: 1 << 20 },
    enable_ancestors: [],
    enable_process_cred: false,
    enable_process_ns: false,
    enable_process_environment_variables: false,
    filter_environment_variables: [],
    username_metadata: 'disabled',
  }
  const workloads = { made: () => {}, gone: () => {}, scan: () => Promise.resolve() }
  using ingest = new Ingest({ kernel, workloads, nodeName: 'n', config, log: {} } as unknown as IngestOptions)
  await ingest.scan()
  assert.deepEqual([...entered], [1, 3])
  assert.deepEqual(
    [1, 2, 3].map((pid) => ingest.processes.find(pid, 0, 0)?.ended),
    [false, true, false],
  )
})
