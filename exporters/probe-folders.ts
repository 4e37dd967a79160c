/** Checks whether the folders of spools and dead-letter files are writable and have room for their bounds; creates nothing. */
import { access, constants, readdir, stat, statfs } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import type { EffectiveExporter } from '../config/agent/effective.ts'
import { spoolFolder } from '../config/agent/exporters/spool.ts'
import { answered } from '../config/base/time/answered.ts'
import { textOf } from './contract/errors.ts'
import { inParallel } from './buffer/disk/files/file-access.ts'
import { failure } from './sinks/file/failure.ts'
import { systemFiles } from './sinks/file/file-system.ts'
import { exists } from './sinks/file/names.ts'
import { mib, probeFile } from './sinks/file/probe.ts'

/** `name`: of the exporter. `unknown`: an exporter of a package that has no `probe`. */
export interface Probed {
  readonly name: string
  readonly state: 'ok' | 'failed' | 'unknown'
  readonly text: string
}

interface Place {
  readonly exporter: string
  readonly key: 'spool' | 'dead_letter'
  readonly folder: string
  /** Start of the names of its files. */
  readonly stem: string
  readonly maxBytes: number
  /** Bytes that must stay free beside it. */
  readonly minFree: number
  /** Resolves if it is writable; rejects with ExportError. */
  readonly check: () => Promise<unknown>
}

/** A place with its file system: what is free there, and what the place may still grow by. */
interface Room extends Place {
  readonly device: number
  readonly free: number
  readonly growth: number
}

/** The folders that cannot be written to; their room does not matter. */
export async function unusableFolders(all: ReadonlyArray<readonly [string, EffectiveExporter]>): Promise<Probed[]> {
  const places = all.flatMap(([name, config]) => placesOf(name, config))
  const found = await Promise.all(places.map((place) => place.check().then(() => undefined, failedAt(place))))
  return found.filter((each) => each !== undefined)
}

/** One row for each folder. Places on one file system share its room. */
export async function probeFolders(exporters: ReadonlyArray<readonly [string, EffectiveExporter]>): Promise<Probed[]> {
  const found = await Promise.all(
    exporters.flatMap(([name, config]) => placesOf(name, config)).map((place) => roomOf(place).catch(failedAt(place))),
  )
  const rooms = found.filter((room) => 'device' in room)
  return found.map((room) => ('device' in room ? judged(room, rooms) : room))
}

export function placesOf(exporter: string, { spool, dead_letter: letters }: EffectiveExporter): Place[] {
  const places: Place[] = []
  if (spool !== undefined) {
    const folder = spoolFolder(exporter, spool)
    const rights = constants.R_OK | constants.W_OK | constants.X_OK
    const check = (): Promise<void> => answered(folder, async () => access(`${await thereOf(folder)}/`, rights))
    places.push({ exporter, key: 'spool', folder, stem: '', maxBytes: spool.max_size, minFree: spool.min_free, check })
  }
  if (letters !== undefined) {
    const { path, max_size: size, max_files: files } = letters
    const stem = basename(path, extname(path))
    const check = (): Promise<string> => probeFile(path)
    // The rotated files, and the current one.
    const maxBytes = size * (files + 1)
    places.push({ exporter, key: 'dead_letter', folder: dirname(path), stem, maxBytes, minFree: 0, check })
  }
  return places
}

async function roomOf(place: Place): Promise<Room> {
  const { folder, stem, maxBytes, check } = place
  await check()
  return answered(folder, async () => {
    const there = await thereOf(folder)
    const names = there === folder ? (await readdir(folder)).filter((name) => name.startsWith(stem)) : []
    const sizes = await inParallel(names, async (name) =>
      // An agent removes files meanwhile.
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    )
    const used = sizes.reduce((sum, size) => sum + size, 0)
    const [{ dev }, { bavail, bsize }] = await Promise.all([stat(there), statfs(there)])
    return { ...place, device: dev, free: bavail * bsize, growth: Math.max(0, maxBytes - used) }
  })
}

/** The folder, or the next one above it that exists: the agent makes the rest. */
async function thereOf(folder: string): Promise<string> {
  return (await exists(systemFiles, folder)) ? folder : thereOf(dirname(folder))
}

function failedAt({ exporter, key, folder }: Place): (cause: unknown) => Probed {
  return (cause) => ({
    name: exporter,
    state: 'failed',
    text: `${key}: ${textOf(failure('use', folder, cause, 'try again'))}`,
  })
}

function judged({ exporter: name, key, folder, device, free }: Room, rooms: readonly Room[]): Probed {
  const beside = rooms.filter((room) => room.device === device)
  const needed = beside.reduce((sum, { growth }) => sum + growth, 0) + Math.max(...beside.map(({ minFree }) => minFree))
  const about = `${key}: ${folder}: `
  if (free >= needed) return { name, state: 'ok', text: `${about}writable, ${mib(free)} free, ${mib(needed)} needed` }
  const of = beside.length === 1 ? 'it' : `the ${beside.length} folders on this file system`
  return {
    name,
    state: 'failed',
    text: `${about}expected ${mib(needed)} free for ${of} (max_size, and min_free of spools), got ${mib(free)}; free some space, or lower ${key}.max_size`,
  }
}
