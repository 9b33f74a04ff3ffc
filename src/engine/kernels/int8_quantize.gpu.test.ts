import { cases } from './int8_quantize.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('int8_quantize', cases);
