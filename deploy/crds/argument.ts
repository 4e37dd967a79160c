/** The schema of an item of `args` and `data`, and of `returnArg`. */
import { ARGUMENT_KEYS } from '../../config/policy/tables.ts'
import { MAX_SIZE_INDEX } from '../../config/policy/types/bytes.ts'
import { MAX_INDEX, flag, index, mapping, oneOf, text } from './mapping.ts'
import type { Schema } from './mapping.ts'

export function argument(
  types: readonly string[],
  description: string,
  required: string[],
  where: Schema = index(`Position in the function's prototype, from 0 to ${MAX_INDEX}.`),
): Schema {
  return mapping(
    ARGUMENT_KEYS,
    description,
    {
      index: where,
      type: oneOf(types, 'How the argument is read, and how it is shown in records.'),
      label: text('Copied to the argument in records.'),
      resolve: text('Path to a member of the struct that the argument points to, such as file.f_path.'),
      btfType: text("The struct that resolve begins in, where the function's prototype does not name it."),
      sizeArgIndex: index(
        'Of bytes: the parameter, counted from 1, that says how many there are; 0: none.',
        MAX_SIZE_INDEX,
      ),
      source: text('Only of an item of data: current_task or pt_regs.'),
      returnCopy: flag('Bytes are read when the function returns, as many as it returns.', false),
      maxData: flag('Of bytes: up to 16,384 are read, else 4,095.', false),
    },
    required,
  )
}
