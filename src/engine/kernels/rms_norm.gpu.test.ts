import { cases } from './rms_norm.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('rms_norm', cases);
