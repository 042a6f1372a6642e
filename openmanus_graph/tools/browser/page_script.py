"""Page script: what is asked inside a page, since Playwright's snapshot does not tell it."""

from __future__ import annotations

import json

OPEN_SHADOWS = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { return attach.call(this, {...options, mode: 'open'}); };
"""
"""Run before a page's own scripts: makes closed shadow roots ones that a snapshot sees."""

_REMEMBERED = """(window[Symbol.for('openmanus-graph secrets')] ??= {fields: new WeakSet(), values: new Set()})"""
"""Fields of the page that were for passwords when it was looked at, and what they held; it goes with the page."""
_HIDDEN = """(element => element.type === 'password' || (element.getAttribute('autocomplete') || '')
    .trim().toLowerCase().split(/\\s+/)
    .some(word => /^(current-password|new-password|one-time-code|cc-)/.test(word)))"""
"""Whether a field is for a password, a one-time code or a card."""

FACTS = """() => {
  const remembered = $REMEMBERED;
  const opening = new Set(), editable = new Set(), acting = [], submitting = [], staying = [];
  const box = element => {
    const at = element.getBoundingClientRect();
    return [Math.round(at.x), Math.round(at.y), Math.round(at.width), Math.round(at.height)];
  };
  const submits = element => {
    const control = element.localName === 'label' ? element.control : element;
    return !!control && ['button', 'input'].includes(control.localName) && !!control.form &&
      ['submit', 'reset', 'image'].includes(control.type);
  };
  const acts = ['button', 'a[href]', 'area[href]', 'input[type=button]', '[onclick]',
    ...['button', 'link', 'switch', 'menuitem'].map(role => `[role=${role}]`)].join();
  const opens = element => element.localName === 'summary' || element.hasAttribute('aria-expanded') ||
    element.hasAttribute('popovertarget') || !['', 'false', null].includes(element.getAttribute('aria-haspopup'));
  const visit = root => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot) visit(element.shadowRoot);
      if (submits(element)) submitting.push(element);
      else if (opens(element)) opening.add(element);
      else if (element.matches(acts)) acting.push(element);
      if (element.matches('a[href], area[href]')) {
        const [to] = element.href.split('#'), [here] = location.href.split('#');
        if (!URL.canParse(element.href) || (to === here && element.href.includes('#')))
          staying.push(element.getAttribute('href'));
      }
      if (element instanceof HTMLInputElement) {
        if ($HIDDEN(element)) remembered.fields.add(element);
        if (remembered.fields.has(element) && element.value) remembered.values.add(element.value);
      } else if (element.isContentEditable && !(element.parentElement || {}).isContentEditable) editable.add(element);
    }
  };
  visit(document);
  const taken = new Set();
  for (const element of [...submitting, ...acting]) {
    const at = element.getBoundingClientRect();
    taken.add(String(box(element)));
    for (let around = element; around; around = around.parentNode || around.host) {
      if (!opening.has(around) && !editable.has(around)) continue;
      const outer = around.getBoundingClientRect();
      const x = outer.x + outer.width / 2, y = outer.y + outer.height / 2;
      if (at.left <= x && x <= at.right && at.top <= y && y <= at.bottom) taken.add(String(box(around)));
    }
  }
  const free = elements => [...elements].map(box).filter(at => !taken.has(String(at)));
  return {secrets: [...remembered.values].slice(-100), opening: free(opening), editable: free(editable),
    submitting: submitting.map(box), staying};
}""".replace("$REMEMBERED", _REMEMBERED).replace("$HIDDEN", _HIDDEN)
"""What fields for passwords hold or held; boxes of what opens and closes something and of text written in place, unless
a click into their middle would reach what may do anything; boxes of what sends or empties a form; addresses of links
that lead no further."""

VIEW = """() => ({
  height: innerHeight, y: Math.round(scrollY), whole: Math.round(document.documentElement.scrollHeight),
})"""
"""The window's height, how far it is scrolled, and the height of the page."""

QUIET = """milliseconds => new Promise(resolve => {
  let timer = setTimeout(resolve, milliseconds);
  const again = () => { clearTimeout(timer); timer = setTimeout(resolve, milliseconds); };
  new MutationObserver(again).observe(document, {subtree: true, childList: true, attributes: true});
})"""
"""Waits until nothing of the page has changed for so long."""

FIELD = """element => ({
  tag: element.localName,
  type: element.type || '',
  value: 'value' in element ? String(element.value) : element.innerText,
  secret: element instanceof HTMLInputElement && ($HIDDEN(element) || $REMEMBERED.fields.has(element)),
  disabled: !!element.closest(':disabled, [aria-disabled=true]'),
  readonly: !!element.readOnly,
  submits: ['button', 'input'].includes(element.localName) && !!element.form &&
    ['submit', 'reset', 'image'].includes(element.type),
  options: element.localName !== 'select' ? null : [...element.options].map(option => ({
    text: option.text, value: option.value, selected: option.selected, disabled: option.disabled,
  })),
})""".replace("$REMEMBERED", _REMEMBERED).replace("$HIDDEN", _HIDDEN)
"""What is known of an element that something is to be done with."""

SESSION_STORAGE = "() => JSON.stringify(Object.fromEntries(Object.entries(sessionStorage)))"
"""What the page keeps for its tab."""


def restored_storage(url: str, kept: str) -> str:
    """A script that gives a page what it kept for its tab, before its own scripts run.

    Args:
        url: The page's address; pages of other origins get nothing.
        kept: What `SESSION_STORAGE` gave.
    """
    origin = "/".join(url.split("/", 3)[:3])
    return (
        f"if (location.origin === {json.dumps(origin)} && !sessionStorage.length)"
        f" for (const [name, value] of Object.entries({json.dumps(json.loads(kept))}))"
        " sessionStorage.setItem(name, value)"
    )
