/** The file that the packages configure (deploy/debian/ktrail.yaml): six files of 64 MiB must hold the events of policies for long. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { createFilter } from '../../../../exporters/filtering/filter.ts'
import { makeChange, makeExec, makeExit, makeKprobe, makeLoss } from '../support/events.ts'

test('package: the file gets events of policies, losses and changes, and no starts and exits of programs', () => {
  const config = parse(readFileSync(new URL('../../../../deploy/debian/ktrail.yaml', import.meta.url), 'utf8'))
  const filter = createFilter(config.exporters.archive.filter ?? {})
  const events = [makeKprobe(), makeLoss(), makeChange(), makeExec(), makeExit()]
  assert.deepEqual(
    events.map((event) => filter.accepts(event)),
    [true, true, true, false, false],
  )
})
