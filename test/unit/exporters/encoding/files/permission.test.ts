import assert from 'node:assert/strict'
import { test } from 'node:test'
import { permission } from '../../../../../exporters/encoding/files/permission.ts'

const ROWS: ReadonlyArray<readonly [number, string]> = [
  [0, '---------'],
  [0o644, 'rw-r--r--'],
  [0o100644, '-rw-r--r--'],
  [0o100000, '----------'],
  [0o040755, 'drwxr-xr-x'],
  [0o120777, 'lrwxrwxrwx'],
  [0o020620, 'crw--w----'],
  [0o060660, 'brw-rw----'],
  [0o010600, 'prw-------'],
  [0o140777, 'srwxrwxrwx'],
  [0o104755, '-rwsr-xr-x'],
  [0o104655, '-rwSr-xr-x'],
  [0o102755, '-rwxr-sr-x'],
  [0o102745, '-rwxr-Sr-x'],
  [0o041777, 'drwxrwxrwt'],
  [0o041776, 'drwxrwxrwT'],
  [0o107777, '-rwsrwsrwt'],
  [0o107000, '---S--S--T'],
  [0o150644, 'rw-r--r--'],
]
for (const [mode, want] of ROWS) {
  test(`permission: mode 0${mode.toString(8)} is ${want}`, () => assert.equal(permission(mode), want))
}
