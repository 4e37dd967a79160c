import type { ArgumentRecord, Line } from './record.ts'

function argument(arg: ArgumentRecord): string {
  const file = arg.file_arg ?? arg.path_arg
  if (file !== undefined) {
    return `${file.path ?? '-'} ${file.permission ?? ''}${file.flags === undefined ? '' : ` ${file.flags}`}`
  }
  if (arg.string_arg !== undefined) return JSON.stringify(arg.string_arg)
  if (arg.error_arg !== undefined) return `error: ${arg.error_arg.Message}`
  return String(arg.int_arg ?? arg.uint_arg ?? arg.size_arg ?? arg.long_arg)
}

/**
 * A line as one short text: `exec BINARY ARGUMENTS`, `exit BINARY STATUS-OR-SIGNAL`,
 * `BINARY FUNCTION(ARGUMENTS) = RETURN`.
 */
export function summary(line: Line): string {
  if (line.process_exec !== undefined) {
    const { binary, arguments: args } = line.process_exec.process ?? {}
    return `exec ${binary}${args === undefined ? '' : ` ${args}`}`
  }
  if (line.process_exit !== undefined) {
    const { process, signal, status } = line.process_exit
    return `exit ${process?.binary} ${signal ?? status ?? 0}`
  }
  const { process, function_name: name, args = [], return: returned } = line.process_kprobe ?? {}
  const end = returned === undefined ? '' : ` = ${argument(returned)}`
  return `${process?.binary} ${name}(${args.map(argument).join(', ')})${end}`
}
