/**
 * Names that no ordinary file system has: FUSE, which any user may mount, allows 1,024 bytes, and 4,095 since 6.15. A
 * filter must see them whole, and what does not fit into the kernel side's buffer must carry a flag.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { before, describe } from 'node:test'
import { promisify } from 'node:util'
import { cannotRun, freshFolder } from '../support/agent.ts'
import { UID, hostileBinary, opened } from '../support/hostile.ts'
import { kernelAtLeast } from '../support/kernel.ts'
import { kept } from '../support/paths.ts'
import { fileHook, path, policy } from '../support/policy.ts'
import { sharedAgent } from './shared.ts'

const skip = cannotRun()
const folder = skip === false ? opened(freshFolder('names')) : '/none'
/** An empty folder of root; a mount on it is visible only in its own namespace. */
const mounted = join(folder, 'm')

/** A name of this many bytes that ends in `.secret`. */
const secret = (bytes: number): string => `${'n'.repeat(bytes - '.secret'.length)}.secret`
const PLAIN = 'p'.repeat(300)
/** The name after a cut by a one-byte length. */
const CUT = PLAIN.slice(0, 300 & 0xff)
const deep = (levels: number): string => `d${'e'.repeat(999)}/`.repeat(levels)

interface Row {
  readonly name: string
  readonly filter: ReturnType<typeof path>
  readonly read: readonly string[]
  /** Paths of `read` that must be reported. */
  readonly want: readonly string[]
}

const ROWS: Row[] = [
  {
    name: 'Postfix: names of 255 to 1,024 bytes',
    filter: path('Postfix', '.secret'),
    read: [255, 256, 257, 300, 511, 512, 1_024].flatMap((bytes) => [secret(bytes), `q${'q'.repeat(bytes - 1)}`]),
    want: [255, 256, 257, 300, 511, 512, 1_024].map(secret),
  },
  {
    name: 'Prefix: whole paths, and the end of one over 4,095 bytes',
    filter: path('Prefix', `${mounted}/`),
    read: [PLAIN, secret(1_024), `${deep(2)}${secret(1_000)}`, `${deep(5)}f`],
    want: [PLAIN, secret(1_024), `${deep(2)}${secret(1_000)}`, `${deep(5)}f`],
  },
  {
    name: 'Equal: a long name is not the short one that it begins with',
    filter: path('Equal', join(mounted, CUT)),
    read: [PLAIN, CUT],
    want: [CUT],
  },
  {
    name: 'NotEqual: the same',
    filter: path('NotEqual', join(mounted, CUT)),
    read: [PLAIN, CUT],
    want: [PLAIN],
  },
]

/** Names that only newer kernels allow. */
const LONGEST: readonly string[] = [secret(4_000), `${deep(1)}${secret(4_000)}`, secret(4_095)]
if (kernelAtLeast(6, 15)) {
  ROWS.push({
    name: 'Postfix: names of 4,000 bytes, and one that does not fit, which has no path',
    filter: path('Postfix', '.secret'),
    read: LONGEST,
    want: LONGEST,
  })
}

/** The path as an event should have it. */
function wanted(name: string): { path?: string; flags?: string } {
  const { text, flags } = kept(Buffer.from(join(mounted, name)))
  return { ...(text === '' ? {} : { path: text }), ...(flags === undefined ? {} : { flags }) }
}

describe('hostile names', { skip }, () => {
  const agent = sharedAgent()

  before(async () => {
    mkdirSync(mounted)
    // The mode that udev gives the device.
    chmodSync('/dev/fuse', 0o666)
    hostileBinary('names')
  })

  for (const { name, filter, read, want } of ROWS) {
    test(`names: ${name}`, async () => {
      const applied = await agent().apply('names', policy('names', [fileHook([filter])]))
      assert.notEqual(applied, 'refused')
      const program = hostileBinary('names')
      const lines = await agent().during(() => promisify(execFile)(program, [mounted, ...read], { uid: UID, gid: UID }))
      const got = lines.flatMap(({ process_kprobe: event }) => {
        const { path: text, flags } = event?.args?.[0]?.file_arg ?? {}
        // Without the calls by which it serves the file system.
        const ours = event?.process?.binary === program && text?.startsWith('/proc/') !== true && text !== '/dev/fuse'
        return ours
          ? [{ ...(text === undefined ? {} : { path: text }), ...(flags === undefined ? {} : { flags }) }]
          : []
      })
      const brief = (all: ReadonlyArray<{ path?: string; flags?: string }>): string[] =>
        all.map(({ path: text = '', flags = '' }) => `${text.length} bytes, …${text.slice(-12)} ${flags}`)
      assert.deepEqual(brief(got), brief(want.map(wanted)))
      assert.deepEqual(got, want.map(wanted))
    })
  }
})
