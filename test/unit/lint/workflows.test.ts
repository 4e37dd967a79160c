/** The workflows of the forge: they run targets of the Makefile and nothing else, with the least rights, and actions that cannot change. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { files, read } from '../support/pages.ts'

interface Step {
  readonly run?: string
  readonly uses?: string
  readonly with?: Readonly<Record<string, unknown>>
}

interface Job {
  readonly 'timeout-minutes'?: number
  readonly permissions?: unknown
  readonly strategy?: { readonly matrix: Readonly<Record<string, readonly string[]>> }
  readonly steps: readonly Step[]
}

interface Workflow {
  readonly permissions?: unknown
  readonly jobs: Readonly<Record<string, Job>>
}

/** The only line beside make: it installs what fetches the repository and reads the Makefile. */
const INSTALL = 'apt-get update && apt-get install --yes --no-install-recommends ca-certificates git make'

const MAKEFILE = read('Makefile')
const TARGETS = new Set([...MAKEFILE.matchAll(/^([a-z0-9-]+):/gm)].map(([, name]) => name))
const FILES = files(['.github/workflows/*.yml'])
const workflow = (file: string): Workflow => parse(read(file)) as Workflow

describe('workflows', () => {
  it('are those of changes, nights and tags', () => {
    const names = FILES.map((file) => file.slice('.github/workflows/'.length))
    assert.deepEqual(names, ['check.yml', 'nightly.yml', 'release.yml', 'test.yml'])
  })

  for (const file of FILES) {
    const jobs = Object.values(workflow(file).jobs)
    const steps = jobs.flatMap((job) => job.steps)

    it(`${file}: each run is a target of the Makefile, without expressions`, () => {
      const lines = steps.flatMap(({ run }) => (run === undefined ? [] : [run]))
      assert.ok(lines.some((line) => line.startsWith('make ')))
      for (const line of lines.filter((each) => each !== INSTALL)) {
        const [, target = ''] = /^make ([a-z0-9-]+)(?: [A-Z]+=[\w.]+)*$/.exec(line) ?? []
        assert.ok(TARGETS.has(target), `"${line}": expected one target of the Makefile`)
      }
    })

    it(`${file}: each action is the commit of a named version, and keeps no credentials`, () => {
      const uses = [...read(file).matchAll(/uses: (.*)/g)].map(([, line = '']) => line)
      assert.ok(uses.length >= 1)
      for (const line of uses) assert.match(line, /^actions\/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
      for (const step of steps)
        if (step.uses?.startsWith('actions/checkout@')) assert.equal(step.with?.['persist-credentials'], false)
    })

    it(`${file}: no rights but reading, and an end`, () => {
      assert.deepEqual(workflow(file).permissions, {})
      for (const job of jobs) {
        assert.deepEqual(job.permissions, { contents: 'read' })
        assert.ok((job['timeout-minutes'] ?? Infinity) <= 360)
      }
    })
  }

  it('test all kernels, and in the night all that make nightly runs', () => {
    const kernels = /^ {2}([\d. |]+)\) ;;$/m.exec(read('test/run.sh'))?.[1]?.split(' | ')
    assert.deepEqual(workflow('.github/workflows/test.yml').jobs['test']?.strategy?.matrix['kernel'], kernels)
    const nightly = /^NIGHTLY \?= (.*)$/m.exec(MAKEFILE)?.[1]?.split(' ')
    assert.deepEqual(workflow('.github/workflows/nightly.yml').jobs['nightly']?.strategy?.matrix['target'], nightly)
  })
})
