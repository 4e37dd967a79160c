import { parseLabelSelector } from '../../config/agent/filtering/label-selector.ts'
import type { LabelRequirement } from '../../config/agent/filtering/label-selector.ts'
import { ExportError } from '../contract/errors.ts'

type Labels = Readonly<Record<string, string>>

/** Tests a pod's labels by Kubernetes selectors, of which one must match. Throws ExportError UNUSABLE. */
export function labelMatcher(selectors: readonly string[]): (labels: Labels) => boolean {
  const parsed = selectors.map((text) => {
    const requirements = parseLabelSelector(text)
    if (requirements === undefined) throw new ExportError('UNUSABLE', `expected a label selector, got "${text}"`)
    return requirements
  })
  return (labels) => parsed.some((requirements) => requirements.every((each) => holds(each, labels)))
}

function holds({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case 'exists':
      return value !== undefined
    case 'absent':
      return value === undefined
    case 'in':
      return value !== undefined && values.includes(value)
    case 'notin':
      return value === undefined || !values.includes(value)
    case 'above':
      return isInteger(value) && Number(value) > Number(values[0])
    case 'below':
      return isInteger(value) && Number(value) < Number(values[0])
  }
}

function isInteger(value: string | undefined): boolean {
  return value !== undefined && /^-?\d+$/.test(value)
}
