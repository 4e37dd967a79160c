/** Runs the command lines of the pages that need an agent. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blockLines, inlineLines } from '../../../support/docs/shell-lines.ts'
import type { ShellLine } from '../../../support/docs/shell-lines.ts'
import type { TestAgent } from '../../../e2e/support/agent.ts'
import { blocks, read } from '../../../unit/support/pages.ts'
import { fileHook, path, policy } from '../../../e2e/support/policy.ts'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

/** A folder with the files that the lines name, and the policies of their pages. The files of the agent are in its own folder, not in /var/log/ktrail. */
export class Documented {
  readonly lines: readonly ShellLine[] = [...inlineLines(), ...blockLines()].filter(({ run }) => run === 'agent')
  readonly #folder: string
  readonly #agent: TestAgent
  readonly #env: NodeJS.ProcessEnv

  constructor(folder: string, agent: TestAgent) {
    this.#folder = folder
    this.#agent = agent
    writeFileSync(join(folder, 'sample.yaml'), policy('sample', [fileHook([path('Equal', '/nowhere')])]))
    for (const page of new Set(this.lines.map((line) => line.page))) {
      for (const text of blocks(read(page), 'yaml policy'))
        writeFileSync(join(folder, `${/name: ([\w-]+)/.exec(text)?.[1]}.yaml`), text)
    }
    const programs = join(folder, 'bin')
    mkdirSync(programs)
    // The test already runs as root.
    writeFileSync(join(programs, 'sudo'), '#!/bin/sh\nexec "$@"\n')
    chmodSync(join(programs, 'sudo'), 0o755)
    this.#env = { ...process.env, PATH: `${programs}:${ROOT}:${process.env['PATH']}` }
  }

  /**
   * Runs a line to its end with exit code 0, or until it has printed a text and continues. Resolves to its output. `act`: makes an event.
   */
  async run(line: ShellLine, act: () => Promise<void>): Promise<string> {
    const text = line.text
      .replaceAll('/var/log/ktrail', this.#agent.folder)
      .replaceAll('127.0.0.1:2112', `127.0.0.1:${this.#agent.port}`)
    const running = this.#shell(text)
    const goesOn = /^(?:ktrail (?:tap|events(?!.*\.jsonl))|curl -N)/.test(text)
    // A played kernel has no files by identity, so nothing is printed but the first line, on standard error.
    const watches = (): boolean => /^ktrail (?:watch|policy estimate)/.test(text) && running.err.includes('Ctrl-C ends')
    try {
      await this.#agent.until(`${text} to end or to print`, async () => {
        if (goesOn) await act()
        return running.code !== undefined || (goesOn && running.out !== '') || watches()
      })
      if (running.code !== undefined) assert.equal(running.code, 0, `${text}: ${running.err}`)
      return running.out
    } finally {
      running.end()
    }
  }

  #shell(text: string): Running {
    // Its own process group, so that the kill reaches the programs that bash starts.
    // Where the agent has its /run/ktrail. Entering it leaves the current folder.
    const inside = ['-t', String(this.#agent.pid), '-m', `--wd=${this.#folder}`, 'bash', '-c', text]
    const child = spawn('nsenter', inside, {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const running = { out: '', err: '', code: undefined as number | undefined, end: () => {} }
    child.stdout.on('data', (bytes: Buffer) => (running.out += bytes.toString()))
    child.stderr.on('data', (bytes: Buffer) => (running.err += bytes.toString()))
    child.on('close', (code) => (running.code = code ?? 128))
    running.end = () => {
      if (running.code === undefined && child.pid !== undefined) process.kill(-child.pid)
    }
    return running
  }
}

interface Running {
  readonly out: string
  readonly err: string
  readonly code: number | undefined
  end(): void
}
