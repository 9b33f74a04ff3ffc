import { cases } from './attention_decode.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('attention_decode', cases);
