import { closeSync, openSync } from 'node:fs'
import { Writable } from 'node:stream'
import { FileExporter } from '../../../exporters/sinks/file/exporter.ts'
import { descriptorFile } from '../../../exporters/sinks/stdout/descriptor.ts'
import { StdoutExporter } from '../../../exporters/sinks/stdout/exporter.ts'
import { StdoutFileExporter } from '../../../exporters/sinks/stdout/file.ts'
import { Silence, contract } from '../../../exporters/testing/index.ts'
import { errno, FaultyFiles } from './support/faulty-files.ts'
import { Folder } from './support/folder.ts'
import { idsOf } from './support/lines.ts'
import { fileConfig } from './support/file-rig.ts'

for (const max_size of [1 << 20, 200]) {
  contract('file', () => {
    const folder = new Folder()
    const files = new FaultyFiles()
    let failures = 0
    files.plan = (call, _path, bytes) => {
      if (failures === 0 || call === 'open') return undefined
      failures--
      // A short write first, so that the failure after it happens within a line.
      return call === 'writev' && failures > 0 ? Math.ceil(bytes / 2) : 'ENOSPC'
    }
    const config = fileConfig({ path: folder.at('events.jsonl'), max_size, max_files: 1000 })
    return {
      exporter: new FileExporter(config, { files }),
      ids: () => folder.ids(),
      fail: (calls) => (failures = calls),
      stall: () => 'a hanging write cannot be cancelled; the chain reports it after the time-out',
      [Symbol.dispose]: () => folder[Symbol.dispose](),
    }
  })
}

contract('stdout', () => {
  let text = ''
  let slow = 0
  let silence: Silence | undefined
  // A pipe's only temporary failure is a slow reader.
  const stream = new Writable({
    highWaterMark: 16,
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString()
      if (silence !== undefined) void silence.pass().then(() => done())
      else if (slow-- > 0) setImmediate(done)
      else done()
    },
  })
  return {
    exporter: new StdoutExporter('json', stream),
    ids: () => idsOf(text),
    fail: (calls) => (slow = calls),
    stall: () => (silence = new Silence()),
    [Symbol.dispose]: () => undefined,
  }
})

for (const how of ['w', 'a']) {
  contract('stdout', () => {
    const folder = new Folder()
    const fd = openSync(folder.at('out'), how)
    const real = descriptorFile(fd)
    let failures = 0
    const file = {
      ...real,
      // A short write first, so that the failure after it happens within a line.
      writev: (buffers: readonly Uint8Array[]): ReturnType<typeof real.writev> => {
        if (failures <= 0) return real.writev(buffers)
        const all = Buffer.concat(buffers)
        return --failures > 0
          ? real.writev([all.subarray(0, Math.ceil(all.length / 2))])
          : Promise.reject(errno('ENOSPC'))
      },
    }
    return {
      exporter: new StdoutFileExporter('json', { file, path: folder.path }),
      ids: () => folder.ids(),
      fail: (calls) => (failures = calls),
      stall: () => 'a hanging write cannot be cancelled; the chain reports it after the time-out',
      [Symbol.dispose]: () => {
        closeSync(fd)
        folder[Symbol.dispose]()
      },
    }
  })
}
