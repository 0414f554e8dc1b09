import js from "@eslint/js";
import globals from "globals";

const UNSAFE = ["innerHTML", "outerHTML", "insertAdjacentHTML"];

/** Text reaches the page as text: nothing may turn it into markup or code. */
const asText = [
  ...UNSAFE.map((name) => ({
    selector: `MemberExpression[property.name='${name}'], MemberExpression[property.value='${name}'], Property[key.name='${name}']`,
    message: `${name} turns text into markup. Use the helpers of lib/dom.js.`,
  })),
  {
    selector: "CallExpression[callee.object.name='document'][callee.property.name=/^write(ln)?$/]",
    message: "document.write turns text into markup. Use the helpers of lib/dom.js.",
  },
  {
    selector: "CallExpression[callee.name='eval'], CallExpression[callee.property.name='eval'], NewExpression[callee.name='Function']",
    message: "This turns text into code.",
  },
];

export default [
  { ignores: ["glimpse_core/ui/web/bundle.js"] }, // made from the others
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-undef": "error",
      "no-unused-vars": "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-restricted-syntax": ["error", ...asText],
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
  },
  { files: ["glimpse_core/ui/web/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/web/**/*.js", "docs/*.js"], languageOptions: { globals: globals.node } },
];
