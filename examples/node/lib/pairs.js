// Sentence pairs as JSONL, {"sentence1": "…", "sentence2": "…", "label": "1"} a line; and some that are made up.
import { readFile } from 'node:fs/promises';

/** Returns { texts: [[sentence1, sentence2]], labels: ['1'] } of a file. An error names every line that is none. */
export async function readPairs(file) {
  const lines = (await readFile(file, 'utf8')).replace(/\n$/, '').split('\n');
  const problems = [];
  const rows = lines.map((line, i) => {
    try {
      const { sentence1, sentence2, label } = JSON.parse(line);
      if (typeof sentence1 === 'string' && typeof sentence2 === 'string' && label !== undefined) {
        return { text: [sentence1, sentence2], label: String(label) };
      }
      problems.push(`line ${i + 1} lacks sentence1, sentence2 or label`);
    } catch (error) {
      problems.push(`line ${i + 1} is no JSON (${error.message})`);
    }
    return undefined;
  });
  if (problems.length) throw new Error(`${file}: ${problems.join('; ')}.`);
  return { texts: rows.map((row) => row.text), labels: rows.map((row) => row.label) };
}

const WHEN = ['今天', '明天', '周末', '晚上', '下午', '后天'];
const WHAT = ['去公园', '看电影', '吃火锅', '打篮球', '喝咖啡', '学英语', '爬山', '游泳'];
const QUESTIONS = ['{when}我们{what}吧？', '{when}一起{what}好吗？', '你{when}想{what}吗？'];
const ANSWERS = {
  1: ['好啊，{when}见！', '可以，我也想{what}。', '没问题，一起去吧。', '太好了，我很喜欢{what}！'],
  0: ['不行，{when}要加班。', '算了，我不想{what}。', '抱歉，没有时间。', '恐怕不可以，我很累。'],
};

/** Returns `count` made up rows, invitations and answers: label '1' where it is accepted. The same for the same seed. */
export function madeUpPairs(count, seed = 1) {
  const pick = randomly(seed);
  return Array.from({ length: count }, () => {
    const label = pick(Object.keys(ANSWERS));
    const fill = (sentence) => sentence.replace('{when}', pick(WHEN)).replace('{what}', pick(WHAT));
    return { sentence1: fill(pick(QUESTIONS)), sentence2: fill(pick(ANSWERS[label])), label };
  });
}

/** Lehmer's generator: enough for picking words. */
function randomly(seed) {
  let state = seed;
  return (choices) => {
    state = (state * 48271) % 2147483647;
    return choices[state % choices.length];
  };
}
