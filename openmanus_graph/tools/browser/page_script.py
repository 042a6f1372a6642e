"""Page script: what is asked inside a page, since Playwright's snapshot does not tell it."""

OPEN_SHADOWS = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { return attach.call(this, {...options, mode: 'open'}); };
"""
"""Run before a page's own scripts: makes closed shadow roots ones that a snapshot sees."""

FACTS = """() => {
  const secrets = [], opening = [], editable = [];
  const box = element => {
    const at = element.getBoundingClientRect();
    return [Math.round(at.x), Math.round(at.y), Math.round(at.width), Math.round(at.height)];
  };
  const hidden = /^(current-password|new-password|one-time-code|cc-)/;
  const visit = root => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot) visit(element.shadowRoot);
      if (element instanceof HTMLInputElement) {
        const says = (element.getAttribute('autocomplete') || '').trim().toLowerCase().split(/\\s+/);
        if (element.type === 'password' || says.some(word => hidden.test(word)))
          if (element.value) secrets.push(element.value);
        continue;
      }
      const submits = element.form && (element.type === 'submit' || element.type === 'reset');
      if (!submits && (element.localName === 'summary' || element.hasAttribute('aria-expanded') ||
          element.hasAttribute('popovertarget') ||
          !['', 'false', null].includes(element.getAttribute('aria-haspopup')))) opening.push(box(element));
      if (element.isContentEditable && !(element.parentElement || {}).isContentEditable) editable.push(box(element));
    }
  };
  visit(document);
  return {secrets, opening, editable};
}"""
"""Values of fields for passwords, boxes of what opens and closes something, boxes of text written in place."""

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
  secret: element.type === 'password' ||
    /(current-password|new-password|one-time-code|cc-)/.test(element.getAttribute('autocomplete') || ''),
  disabled: !!element.closest(':disabled, [aria-disabled=true]'),
  readonly: !!element.readOnly,
  options: element.localName !== 'select' ? null : [...element.options].map(option => ({
    text: option.text, value: option.value, selected: option.selected, disabled: option.disabled,
  })),
})"""
"""What is known of an element that something is to be done with."""

SESSION_STORAGE = "() => JSON.stringify(Object.fromEntries(Object.entries(sessionStorage)))"
"""What the page keeps for its tab."""
