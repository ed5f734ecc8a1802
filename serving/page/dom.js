/** The element of the page with this id. */
export const $ = (id) => document.getElementById(id);

/** Make an element; texts among its children become text nodes, never markup. */
export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}
