/** The id of the host for `host.id` of OTLP records: machine-id(5), from the files that the semantic conventions of OpenTelemetry name. */
import { constants } from 'node:fs'
import { readAtMost } from './read.ts'

const FILES = ['etc/machine-id', 'var/lib/dbus/machine-id']
/** 128 bits, not all 0. */
const ID = /^(?!0+$)[0-9a-f]{32}$/
/** An id and a line feed; a longer text is none. */
const MOST_BYTES = 64

/**
 * Reads below the root of the host's pid 1, because an agent in a container has another root. Links are not followed: they would end in the agent's
 * own root. On many hosts, one file is a link to the other. Returns undefined if no file has an id.
 */
export function machineId(procfs: string): string | undefined {
  for (const file of FILES) {
    try {
      const id = readAtMost(`${procfs}/1/root/${file}`, MOST_BYTES, constants.O_NOFOLLOW).trim()
      if (ID.test(id)) return id
    } catch {
      // The other file may be readable.
    }
  }
  return undefined
}
